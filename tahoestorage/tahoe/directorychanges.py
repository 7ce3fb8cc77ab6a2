"""What every change of a directory goes through: quorum, lock, request.

A lost or unclear response does not count as a failure: what is there is read then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tahoestorage.cache import WriteLock
from tahoestorage.exceptions import NameTaken, StoreError, WriteCollision
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.checkresults import CheckResults
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.directories import Directories, Directory
from tahoestorage.tahoe.marker import FactsChange, MarkerFacts
from tahoestorage.tahoe.quorum import Quorum
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.tahoe.writecollisions import lost_lock_warning

WRITING_SECONDS = 40.0
LOCK_ATTEMPTS = 4  # of one change whose lock is lost each time

P = ParamSpec("P")
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
        self.quorum = Quorum(self.gateway, directories.root.best, rules)

    def prepare(
        self, label: str, *, making: bool = False, since: float | None = None
    ) -> float | None:
        """Raise NotEnoughServers where nothing may be changed. Hold no lock.

        Returns when the change began, for the quorum; None where the root has no write
        cap, so that nothing is changed.
        """
        if self.directories.root.write is None:
            return None
        return self.quorum.prepare(label, self.change_facts, making=making, since=since)

    def require_quorum(self, label: str) -> None:
        """Raise NotEnoughServers where nothing may be changed now; change nothing."""
        self.quorum.require(label)

    def with_lock(
        self,
        directory: Directory,
        label: str,
        act: Callable[[WriteLock], T],
        settled: Callable[[], tuple[bool, T]],
    ) -> T:
        """Return the result of ``act``, called with the lock on a directory held.

        The lock outlives a dead holder, for a gateway may go on writing after its
        client is gone. If the lock was lost meanwhile, ``settled`` reads whether the
        change is there, and what the result is; if it is not, ``act`` is called again.
        Raises WriteCollision after ``LOCK_ATTEMPTS``.
        """
        seconds, longest = WRITING_SECONDS, self.gateway.request_seconds
        for _ in range(LOCK_ATTEMPTS):
            with self.cache.lock(directory.namespace, label, seconds, longest) as lock:
                result = act(lock)
            if lock.lost:
                lost_lock_warning.log(label)
                # What was noted of it may have been undone.
                self.cache.forget(directory.namespace)
                is_settled, result = settled()
            if not lock.lost or is_settled:
                return result
        raise WriteCollision(
            f"{label}: other writers undo it each time, for the Redis drops the lock "
            "on its directory; give it room, and try again"
        )

    def send(
        self, request: Callable[P, T], *arguments: P.args, **keywords: P.kwargs
    ) -> T:
        """Send one change of a directory; each goes through here.

        After an error the list of servers is read again.
        """
        try:
            return request(*arguments, **keywords)
        except (NameTaken, StoreError):
            self.quorum.invalidate()
            raise

    def change_facts(self, change: FactsChange) -> dict[str, Any] | None:
        """Change the facts in the root's marker; return them as they are stored.

        ``change`` takes the stored facts and returns the new ones; it may be called
        several times. A root without a marker gets one. None where something else has
        the marker's name that can't store facts. Raises ReadOnly or a StoreError.
        """
        root, gateway = self.directories.root, self.gateway
        root.writable("the root directory")

        def look() -> tuple[bool, MarkerFacts]:
            there = marker.read(gateway, root.best)
            return there.needs_no_change(change(dict(there.facts))), there

        def write(lock: WriteLock) -> MarkerFacts:
            def send(children: dict[str, Link]) -> None:
                lock.renew()
                self.send(
                    gateway.set_children,
                    root.best,
                    children,
                    replace="only-files",
                    label=marker.LABEL,
                )

            return marker.write_facts(gateway, root.best, change, send)

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

        def put(lock: WriteLock) -> bool:
            self.quorum.require(label)
            lock.renew()
            with contextlib.suppress(NameTaken):
                self.send(self.gateway.set_children, write, marker.child(), label=label)
            return True

        return is_empty() and self.with_lock(
            directory, label, put, lambda: (not is_empty(), True)
        )

    def repair(
        self, directory: Directory, label: str, *, verify: bool, seconds: float
    ) -> CheckResults:
        """Make new shares of a mutable object where some are missing, damaged or old.

        That writes the newest version there is once more, so it is a change like
        others. ``directory`` may stand for a mutable file, too. Raises ReadOnly.
        """
        write = directory.writable(label)
        self.prepare(label)

        def repair(lock: WriteLock) -> CheckResults:
            self.quorum.require(label)
            lock.renew()
            return self.send(
                self.gateway.check,
                write,
                verify=verify,
                repair=True,
                seconds=seconds,
                label=label,
            )

        def look() -> tuple[bool, CheckResults]:
            results = self.gateway.check(write, seconds=seconds, label=label)
            return results.healthy, results

        return self.with_lock(directory, label, repair, look)
