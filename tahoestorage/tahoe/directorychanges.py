"""What every change of a directory goes through: lock, gateway, quorum, request.

A lost or unclear response does not count as a failure: what is there is read then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from tahoestorage.exceptions import (
    NameTaken,
    NotEnoughShares,
    WriteCollision,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.checkresults import CheckResults
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.directories import Directories, Directory, FreshListing, Path
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.marker import FactsChange, MarkerFacts
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.tahoe.writecollisions import lost_lock_warning
from tahoestorage.tahoe.writers import DirectoryWriter, DirectoryWriters, LockedChange

WRITING_SECONDS = 40.0
LOCK_ATTEMPTS = 4  # of one change whose lock is lost each time

T = TypeVar("T")


class DirectoryChanges:
    """What all changes of the ``directories`` of one root go through.

    Safe in threads and forks. Every change raises NotEnoughServers, before anything is
    done, where so many servers are away that the change could be lost when they come
    back; ``rules`` is what the site's options say of them. It raises other StoreErrors
    where the gateway fails.
    """

    def __init__(
        self, directories: Directories, rules: ServerRules | None = None
    ) -> None:
        self.directories = directories
        self.gateway = directories.gateway
        self.cache = directories.cache
        self.writers = DirectoryWriters(
            directories.gateways, directories.root.best, rules
        )
        self.quorum = self.writers.first.quorum

    def writer(self, label: str) -> DirectoryWriter:
        """Return the gateway through which a change would go now. Hold no lock."""
        return self.writers.choose(label, shared=self.cache.shares_locks)

    def prepare(
        self,
        label: str,
        *,
        making: bool = False,
        since: float | None = None,
        writer: DirectoryWriter | None = None,
    ) -> float | None:
        """Raise NotEnoughServers where nothing may be changed. Hold no lock.

        Asks the gateway of ``writer``, else the one through which a change would go.
        Returns when the change began, for the quorum; None where the root has no write
        cap, so that nothing is changed.
        """
        if self.directories.root.write is None:
            return None
        writer = writer or self.writer(label)
        return writer.quorum.prepare(
            label, self.change_facts, making=making, since=since
        )

    def require_quorum(self, label: str) -> None:
        """Raise NotEnoughServers where the first gateway may change nothing now."""
        self.quorum.require(label)

    def with_lock(
        self,
        directory: Directory,
        label: str,
        act: Callable[[LockedChange], T],
        settled: Callable[[LockedChange], tuple[bool, T]],
        *,
        anywhere: bool = True,
    ) -> T:
        """Return the result of ``act``, called with the lock on a directory held.

        The gateway is chosen then, and all of the change goes through it; through the
        first one unless it may go ``anywhere``. The lock outlives a dead holder, for a
        gateway may go on writing after its client is gone. If the lock was lost
        meanwhile, ``settled`` reads whether the change is there, and what the result
        is; if it is not, ``act`` is called again. Raises WriteCollision after
        ``LOCK_ATTEMPTS``.
        """
        seconds, longest = WRITING_SECONDS, self.gateway.request_seconds
        for _ in range(LOCK_ATTEMPTS):
            with self.cache.lock(directory.namespace, label, seconds, longest) as lock:
                change = self.writers.hold(lock, label, anywhere=anywhere)
                result = act(change)
            if lock.lost:
                lost_lock_warning.log(label)
                # What was noted of it may have been undone.
                self.cache.forget(directory.namespace)
                is_settled, result = settled(change)
            if not lock.lost or is_settled:
                return result
        raise WriteCollision(
            f"{label}: other writers undo it each time, for the Redis drops the lock "
            "on its directory; give it room, and try again"
        )

    def read_listing(
        self, parent: Directory, path: Path, gateway: Gateway
    ) -> FreshListing:
        """Read ``parent`` by its cap, now."""
        try:
            return self.directories.fetch_directory(
                parent, path[:-1], path[-1], gateway
            )
        except NotEnoughShares:
            # It may have been replaced: the next attempt resolves the path anew.
            self.directories.forget(path)
            raise

    def change_facts(self, change: FactsChange) -> dict[str, Any] | None:
        """Change the facts in the root's marker; return them as they are stored.

        ``change`` takes the stored facts and returns the new ones; it may be called
        several times. A root without a marker gets one. None where something else has
        the marker's name that can't store facts. Raises ReadOnly or a StoreError.
        """
        root = self.directories.root
        root.writable("the root directory")

        def look(held: LockedChange) -> tuple[bool, MarkerFacts]:
            there = marker.read(held.gateway, root.best)
            return there.needs_no_change(change(dict(there.facts))), there

        def write(held: LockedChange) -> MarkerFacts:
            def send(children: dict[str, Link]) -> None:
                # If it is late, it is refused: others have used its number.
                held.renew()
                held.send(
                    held.gateway.set_children,
                    root.best,
                    children,
                    replace="only-files",
                    label=marker.LABEL,
                )

            return marker.write_facts(held.gateway, root.best, change, send)

        there = self.with_lock(root, marker.LABEL, write, look)
        return None if there.link is None else there.facts

    def mark(self, directory: Directory, label: str) -> bool:
        """Put the marker into an empty directory; return False if it is not empty.

        A write to it through another gateway at the same time can be lost.
        """
        write = directory.writable(label)

        def is_empty() -> bool:
            found: list[Child] = []
            self.gateway.list(directory.best, (), found.append, label=label)
            return not found

        def put(held: LockedChange) -> bool:
            held.quorum.require(label)
            held.renew()
            with contextlib.suppress(NameTaken):
                held.send(held.gateway.set_children, write, marker.child(), label=label)
            return True

        return is_empty() and self.with_lock(
            directory, label, put, lambda _: (not is_empty(), True), anywhere=False
        )

    def repair(
        self, directory: Directory, label: str, *, verify: bool, seconds: float
    ) -> CheckResults:
        """Make new shares of a mutable object where some are missing, damaged or old.

        That writes the newest version there is once more, so it is a change like
        others, through the first gateway. ``directory`` may stand for a mutable file,
        too. Raises ReadOnly.
        """
        write = directory.writable(label)
        self.prepare(label, writer=self.writers.first)

        def repair(held: LockedChange) -> CheckResults:
            held.quorum.require(label)
            held.renew()
            # It waits for no other request there, so it tells nothing of them.
            return self.writers.first.send(
                held.gateway.check,
                write,
                verify=verify,
                repair=True,
                seconds=seconds,
                label=label,
            )

        def look(held: LockedChange) -> tuple[bool, CheckResults]:
            results = held.gateway.check(write, seconds=seconds, label=label)
            return results.healthy, results

        return self.with_lock(directory, label, repair, look, anywhere=False)
