"""Changes to directories that lose nothing: links are made, replaced and removed.

A lost or unclear response does not count as a failure. The child is read then, and a
random token in the link's metadata, or the cap of a directory we made, tells whether
the link is ours. Missing directories are made before anything links to them, and linked
by one change.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

from tahoestorage.cache import MISSING, WriteLock
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    InvalidCap,
    NameIsDirectory,
    NameTaken,
    NotEnoughShares,
    ParentIsFile,
    StoreError,
    UnexpectedResponse,
    WriteCollision,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.checkresults import CheckResults
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.directories import Directories, Directory, FreshListing, Path
from tahoestorage.tahoe.linkreading import read_entry
from tahoestorage.tahoe.marker import FactsChange, MarkerFacts
from tahoestorage.tahoe.quorum import Quorum
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.tahoe.serverlist import now
from tahoestorage.tahoe.trees import Tree, build_locks, deepest_directory
from tahoestorage.tahoe.writecollisions import lost_lock_warning, pause

WRITING_SECONDS = 40.0
LOCK_ATTEMPTS = 4  # of one change whose lock is lost each time

P = ParamSpec("P")
T = TypeVar("T")
Replace = Literal["false", "only-files"]


class Links:
    """Makes and removes links in ``directories``; safe in threads and forks.

    ``layout`` is the format of new directories, "SDMF" or "MDMF". Every change raises
    NotEnoughServers, before anything is done, where so many servers are away that the
    change could be lost when they come back; ``rules`` is what the site's options say
    of them. It raises other StoreErrors where the gateway fails.
    """

    def __init__(
        self,
        directories: Directories,
        layout: str = "SDMF",
        rules: ServerRules | None = None,
    ) -> None:
        self._directories = directories
        self._gateway = directories.gateway
        self._cache = directories.cache
        self._layout = layout
        self._quorum = Quorum(self._gateway, directories.root.best, rules)

    def add(
        self,
        path: Path,
        cap: Cap,
        *,
        replace: Replace = "false",
        since: float | None = None,
    ) -> None:
        """Link the file ``cap`` at ``path``, and make the directories that are missing.

        ``since`` is when the save began, by ``serverlist.now``: what was read of the
        servers after that does, for a second. With ``replace="only-files"`` it replaces
        a file. Raises NameTaken where the name is taken, NameIsDirectory where it would
        replace a directory, ParentIsFile where a file is in the way, ReadOnly where
        there is no write cap.
        """
        link = Link.with_token(cap, secrets.token_hex(16))
        self._add(path, link, replace, now() if since is None else since)

    def _add(self, path: Path, link: Link, replace: Replace, since: float) -> None:
        parents = path[:-1]
        directory, length = deepest_directory(self._directories, parents)
        if length < len(parents):
            seconds, label = self._gateway.request_seconds, "/".join(path[: length + 1])
            with build_locks.lock(
                self._cache, directory, path[length], seconds=seconds, label=label
            ) as was_free:
                # Whoever had the lock before us has made it.
                entry = self._cache.entry(directory.namespace, path[length])
                if not was_free or isinstance(entry, Entry):
                    directory, length = deepest_directory(self._directories, parents)
                if length < len(parents):
                    below = self._make_missing(directory, path, length, link, since)
                    if below is None:
                        return
                    directory = below
        self._link(directory, path, link, replace, since)

    def add_together(
        self, parents: Path, caps: Mapping[str, Cap], *, since: float | None = None
    ) -> dict[str, NameTaken | StoreError]:
        """Link files by free names in the directory at ``parents``, by one change.

        What is missing of the path is made with the first of them. Returns what was not
        linked, with the error of each: NameTaken, or a StoreError, after which a name
        may be there all the same. Of a change that is refused for one taken name
        nothing is done, so the others are linked by a second one. Raises what ``add``
        raises of the way to the directory; nothing is linked then.
        """
        since = now() if since is None else since
        links = {
            name: Link.with_token(cap, secrets.token_hex(16))
            for name, cap in caps.items()
        }
        errors: dict[str, NameTaken | StoreError] = {}
        rest = dict(links)
        directory, length = deepest_directory(self._directories, parents)
        while rest and length < len(parents):
            name = next(iter(rest))
            link = rest.pop(name)
            try:
                self._add((*parents, name), link, "false", since)
            except (NameTaken, StoreError) as error:
                errors[name] = error
                if isinstance(error, StoreError):
                    return errors | dict.fromkeys(rest, error)
            try:
                directory, length = deepest_directory(self._directories, parents)
            except StoreError as error:
                return errors | dict.fromkeys(rest, error)
        if rest:
            errors |= self._put_together(directory, parents, rest, since)
        return errors

    def _put_together(
        self, directory: Directory, parents: Path, links: dict[str, Link], since: float
    ) -> dict[str, NameTaken | StoreError]:
        """Link files in a directory that exists; return the errors by name."""
        label = "/".join((*parents, f"{next(iter(links))} and others"))
        write = directory.writable("/".join(parents) or "the root directory")
        pending, taken = dict(links), dict[str, NameTaken | StoreError]()

        def settle() -> tuple[bool, None]:
            """Read which are there; what is not is pending again."""
            pending.clear()
            pending.update({k: v for k, v in links.items() if k not in taken})

            def look(child: Child) -> None:
                link = pending.pop(child.name, None)
                if link is not None and not link.is_seen_in(child):
                    name = "/".join((*parents, child.name))
                    taken[child.name] = NameTaken(f"{name}: the name is taken")

            for number in range(self._gateway.retries):
                try:
                    self._gateway.list(directory.best, (), look, label=label)
                except (NotEnoughShares, UnexpectedResponse):
                    # While another gateway writes, shares seem to be missing.
                    pause(number)
                else:
                    return not pending, None
            self._gateway.list(directory.best, (), look, label=label)
            return not pending, None

        def put(lock: WriteLock) -> None:
            failure: StoreError | None = None
            number = 0
            while number <= self._gateway.retries:
                self._quorum.require(label, since=since)
                lock.renew()
                change = self._cache.change_many(directory.namespace, pending)
                try:
                    self._send(self._gateway.set_children, write, pending, label=label)
                except (NameTaken, StoreError) as error:
                    change.done({})
                    known = len(taken)
                    if settle()[0]:
                        return
                    # As with one link: what is late would be refused, or is ours.
                    if isinstance(error, GatewayTimeout) and number:
                        raise
                    failure = error if isinstance(error, StoreError) else None
                    if isinstance(error, WriteCollision):
                        pause(number)
                    # What was found to be taken is left out: that is no failure.
                    number += len(taken) == known
                else:
                    linked = {name: link.cap for name, link in pending.items()}
                    change.done(
                        {name: _file(cap) for name, cap in linked.items()},
                        {n: cap.uri for n, cap in linked.items() if cap.is_writable},
                    )
                    pending.clear()
                    return
            raise failure or NameTaken(f"{label}: the names come and go")

        try:
            since_ = self._prepare(label, since=since)
            since = since if since_ is None else since_
            self._with_lock(directory, label, put, settle)
        except (NameTaken, StoreError) as error:
            return taken | dict.fromkeys(pending, error)
        return taken

    def _make_missing(
        self, directory: Directory, path: Path, length: int, link: Link, began: float
    ) -> Directory | None:
        """Make the directories from ``path[length]`` on, with the file in the last one.

        Where another writer has made some of them meanwhile, the rest is linked in
        those. Returns the last of those if the file is still to be linked, else None.
        """
        directory.writable("/".join(path[:length]) or "the root directory")
        label = "/".join(path[: length + 1])
        since = self._prepare(label, making=True, since=began)
        ticket = self._cache.ticket()
        tree = Tree(path, length, link, partial(self._make, since=since))
        # If a server went away meanwhile, the facts must have it before the link.
        self._prepare(label, making=True, since=since)
        for number, cap in enumerate(tree.caps):
            here = path[: length + number + 1]
            theirs = self._put(directory, here, Link(cap), since=since)
            if theirs is None:
                tree.keep(self._cache, ticket, number)
                return None
            if theirs.entry.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(
                    f"{'/'.join(here)}: a file is where a directory must be"
                )
            directory = Directory.of(theirs.entry.reference, theirs.write_reference)
        return directory

    def _make(self, children: dict[str, Link], label: str, since: float | None) -> Cap:
        """Make a directory; another if the response is lost, for none is linked."""
        make = self._gateway.make_directory
        for _ in range(self._gateway.retries):
            self._quorum.require(label, making=True, since=since)
            try:
                return self._send(make, children, self._layout, label=label)
            except GatewayTimeout:
                raise
            except StoreError:
                pass
        self._quorum.require(label, making=True, since=since)
        return self._send(make, children, self._layout, label=label)

    def check(self, path: Path) -> None:
        """Raise ReadOnly or ParentIsFile if the cache shows that a save would fail.

        And NotEnoughServers where nothing may be changed now. To be called before an
        upload, so that it is not in vain; ``add`` checks again.
        """
        self._directories.root.writable("the root directory")
        self._check_way(path)
        self._prepare("/".join(path))

    def require_quorum(self, label: str) -> None:
        """Raise NotEnoughServers where nothing may be changed now; change nothing."""
        self._quorum.require(label)

    def _prepare(
        self, label: str, *, making: bool = False, since: float | None = None
    ) -> float | None:
        """Raise NotEnoughServers where nothing may be changed. Hold no lock.

        Returns when the change began, for the quorum; None where the root has no write
        cap, so that nothing is changed.
        """
        if self._directories.root.write is None:
            return None
        return self._quorum.prepare(
            label, self.change_facts, making=making, since=since
        )

    def _check_way(self, path: Path) -> None:
        for length in range(1, len(path)):
            parent = self._directories.cached(path[: length - 1])
            if not isinstance(parent, Directory):
                return
            label = "/".join(path[:length])
            entry = self._cache.entry(parent.namespace, path[length - 1])
            if isinstance(entry, Entry) and entry.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(f"{'/'.join(path)}: {label} is a file")
            cached = self._directories.cached(path[:length])
            if isinstance(cached, Directory) and not cached.read.is_mutable:
                cached.writable(label)

    def _read_listing(self, parent: Directory, path: Path) -> FreshListing:
        """Read ``parent`` by its cap, now."""
        try:
            return self._directories.fetch_directory(parent, path[:-1], path[-1])
        except NotEnoughShares:
            # It may have been replaced: the next attempt resolves the path anew.
            self._directories.forget(path)
            raise

    def _read_child(self, directory: Directory, path: Path) -> Child | None:
        """Read the child at ``path`` after a change of it failed.

        Retried: while another gateway writes, shares seem to be missing.
        """
        for number in range(self._gateway.retries):
            try:
                return self._read_listing(directory, path).child
            except (NotEnoughShares, UnexpectedResponse):
                pause(number)
        return self._read_listing(directory, path).child

    def _link(
        self,
        directory: Directory,
        path: Path,
        link: Link,
        replace: Replace,
        since: float,
    ) -> None:
        """Link a file in a directory that exists."""
        theirs = self._put(directory, path, link, replace, since)
        if theirs is None:
            return
        label = "/".join(path)
        if theirs.entry.kind is not EntryKind.DIRECTORY:
            raise NameTaken(f"{label}: the name is taken")
        if replace == "only-files":
            raise NameIsDirectory(f"{label} is a directory")
        raise NameTaken(f"{label}: a directory has the name")

    def _put(
        self,
        directory: Directory,
        path: Path,
        link: Link,
        replace: Replace = "false",
        since: float | None = None,
    ) -> Child | None:
        """Link something at ``path``; return the other child if the name is taken.

        ``since`` is when the change began.
        """
        name, label = path[-1], "/".join(path)
        write = directory.writable("/".join(path[:-1]) or "the root directory")
        cap = link.cap
        kind = EntryKind.DIRECTORY if cap.is_directory else EntryKind.FILE
        # Whoever reads an entry may not write by it.
        entry = Entry(kind, cap.read_only.uri, cap.size)

        def settled() -> tuple[bool, Child | None]:
            child = self._read_child(directory, path)
            if child is None or link.is_seen_in(child):
                return child is not None, None
            return replace == "false" or child.entry.kind is EntryKind.DIRECTORY, child

        def put(lock: WriteLock) -> Child | None:
            failure: StoreError | None = None
            for number in range(self._gateway.retries + 1):
                self._quorum.require(label, since=since)
                lock.renew()
                change = self._cache.change(directory.namespace, name)
                try:
                    self._send(
                        self._gateway.set_children,
                        write,
                        {name: link},
                        replace=replace,
                        label=label,
                    )
                except (NameTaken, StoreError) as error:
                    change.done(None)
                    if (found := settled())[0]:
                        return found[1]
                    # The request may still be under way. One that replaces could undo a
                    # later save; one that does not would be refused, and is retried
                    # once.
                    once = replace == "false" and number == 0
                    if isinstance(error, GatewayTimeout) and not once:
                        raise
                    failure = error if isinstance(error, StoreError) else None
                    if isinstance(error, WriteCollision):
                        pause(number)
                else:
                    change.done(entry, cap.uri if cap.is_writable else None)
                    return None
            raise failure or NameTaken(
                f"{label} comes and goes while it is being linked"
            )

        since = self._prepare(label, since=since)
        return self._with_lock(directory, label, put, settled)

    def _with_lock(
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
        seconds, longest = WRITING_SECONDS, self._gateway.request_seconds
        for _ in range(LOCK_ATTEMPTS):
            with self._cache.lock(directory.namespace, label, seconds, longest) as lock:
                result = act(lock)
            if lock.lost:
                lost_lock_warning.log(label)
                # What was noted of it may have been undone.
                self._cache.forget(directory.namespace)
                is_settled, result = settled()
            if not lock.lost or is_settled:
                return result
        raise WriteCollision(
            f"{label}: other writers undo it each time, for the Redis drops the lock "
            "on its directory; give it room, and try again"
        )

    def _send(
        self, request: Callable[P, T], *arguments: P.args, **keywords: P.kwargs
    ) -> T:
        """Send one change of a directory; each goes through here.

        After an error the list of servers is read again.
        """
        try:
            return request(*arguments, **keywords)
        except (NameTaken, StoreError):
            self._quorum.invalidate()
            raise

    def change_facts(self, change: FactsChange) -> dict[str, Any] | None:
        """Change the facts in the root's marker; return them as they are stored.

        ``change`` takes the stored facts and returns the new ones; it may be called
        several times. A root without a marker gets one. None where something else has
        the marker's name that can't store facts. Raises ReadOnly or a StoreError.
        """
        root, gateway = self._directories.root, self._gateway
        root.writable("the root directory")

        def look() -> tuple[bool, MarkerFacts]:
            there = marker.read(gateway, root.best)
            return there.needs_no_change(change(dict(there.facts))), there

        def write(lock: WriteLock) -> MarkerFacts:
            def send(children: dict[str, Link]) -> None:
                lock.renew()
                self._send(
                    gateway.set_children,
                    root.best,
                    children,
                    replace="only-files",
                    label=marker.LABEL,
                )

            return marker.write_facts(gateway, root.best, change, send)

        there = self._with_lock(root, marker.LABEL, write, look)
        return None if there.link is None else there.facts

    def mark(self, directory: Directory, label: str) -> bool:
        """Put the marker into an empty directory; return False if it is not empty.

        A write to it through another gateway at the same time can be lost.
        """
        write = directory.writable(label)

        def is_empty() -> bool:
            found: list[Child] = []
            self._gateway.list(directory.best, (), found.append, label=label)
            return not found

        def put(lock: WriteLock) -> bool:
            self._quorum.require(label)
            lock.renew()
            with contextlib.suppress(NameTaken):
                self._send(
                    self._gateway.set_children, write, marker.child(), label=label
                )
            return True

        return is_empty() and self._with_lock(
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
        self._prepare(label)

        def repair(lock: WriteLock) -> CheckResults:
            self._quorum.require(label)
            lock.renew()
            return self._send(
                self._gateway.check,
                write,
                verify=verify,
                repair=True,
                seconds=seconds,
                label=label,
            )

        def look() -> tuple[bool, CheckResults]:
            results = self._gateway.check(write, seconds=seconds, label=label)
            return results.healthy, results

        return self._with_lock(directory, label, repair, look)

    def unlink(self, path: Path, *, only: str | None = None) -> None:
        """Unlink the file at ``path``; no error if there is none.

        The child is read first. With ``only``, a cap, it is left if it has another one.
        Raises NameIsDirectory for a directory, for something may be saved in it
        meanwhile; InvalidCap for a child of an unknown kind; ReadOnly.
        """
        *parents, name = path
        label = "/".join(path)
        # While too many servers are away a listing may be old, without the name.
        since = self._prepare(label)
        found = read_entry(self._directories, path, only)
        if found is None or only not in (None, found[0].reference):
            return
        first, directory = found
        if first.kind is EntryKind.DIRECTORY:
            raise NameIsDirectory(f"{label} is a directory, and only files are deleted")
        leads_nowhere = first.leads_nowhere
        if first.kind is EntryKind.UNKNOWN and not leads_nowhere:
            raise InvalidCap(
                f"{label}: its cap is of a kind that is not known here; it may be a "
                "directory, and only files are deleted"
            )
        write = directory.writable("/".join(parents) or "the root directory")

        def is_there() -> bool:
            child = self._read_child(directory, path)
            # Its size is that of its cap.
            return child is not None and replace(child.entry, size=first.size) == first

        def unlink(lock: WriteLock) -> None:
            failure: StoreError | None = None
            for number in range(self._gateway.retries + 1):
                self._quorum.require(label, since=since)
                lock.renew()
                change = self._cache.change(directory.namespace, name)
                try:
                    self._send(
                        self._gateway.unlink,
                        write,
                        name,
                        leads_nowhere=leads_nowhere,
                        label=label,
                    )
                except FileMissing:
                    change.done(None)
                    return
                except StoreError as error:
                    change.done(None)
                    failure = error
                    if not is_there():
                        return
                    # The request may still be under way, and unlink a later file.
                    if isinstance(error, GatewayTimeout):
                        raise
                    if isinstance(error, WriteCollision):
                        pause(number)
                else:
                    change.done(MISSING)
                    return
            if failure is not None:
                raise failure

        self._with_lock(directory, label, unlink, lambda: (not is_there(), None))


def _file(cap: Cap) -> Entry:
    """Return the entry of a file that was linked just now."""
    # Whoever reads an entry may not write by it.
    return Entry(EntryKind.FILE, cap.read_only.uri, cap.size)
