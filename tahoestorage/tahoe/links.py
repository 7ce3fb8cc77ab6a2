"""Changes to directories that lose nothing: one at a time, by cap, and looked after.

A response that is lost or unclear is not believed to be a failure: what is there is
read, and a token in the link's metadata, or the cap of a directory of ours, tells
whose it is. What is missing of a path is made before anything links to it, and linked
by one change.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
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
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.collisions import pause, warned
from tahoestorage.tahoe.directories import Directories, Directory, FreshListing, Path
from tahoestorage.tahoe.marker import Change, Kept
from tahoestorage.tahoe.quorum import Quorum
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.tahoe.trees import Tree, deepest, sites

WRITING_SECONDS = 40.0
LOCKS = 4  # of something whose lock is taken away each time

P = ParamSpec("P")
T = TypeVar("T")
Replace = Literal["false", "only-files"]


class Links:
    """Makes and removes links in ``directories``; new directories are of ``layout``.

    Whatever changes a directory raises NotEnoughServers, before anything is done, where
    so many servers are away that the change could be lost when they come back; which
    those are follows from ``rules`` too.
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

    def add(self, path: Path, cap: Cap, *, replace: Replace = "false") -> None:
        """Link the file ``cap`` at ``path``; what is missing on the way there is made.

        Raises NameTaken where somebody else has the name, NameIsDirectory where a
        directory would have to be replaced, ParentIsFile where a file is in the way,
        ReadOnly where we may not.
        """
        parents = path[:-1]
        link = Link.with_token(cap, secrets.token_hex(16))
        directory, length = deepest(self._directories, parents)
        if length < len(parents):
            seconds, label = self._gateway.longest, "/".join(path[: length + 1])
            with sites.lock(
                self._cache, directory, path[length], seconds=seconds, label=label
            ) as was_free:
                # Whoever had the lock before us has made it.
                entry = self._cache.entry(directory.namespace, path[length])
                if not was_free or isinstance(entry, Entry):
                    directory, length = deepest(self._directories, parents)
                if length < len(parents):
                    below = self._plant(directory, path, length, link)
                    if below is None:
                        return
                    directory = below
        self._link(directory, path, link, replace)

    def _plant(
        self, directory: Directory, path: Path, length: int, link: Link
    ) -> Directory | None:
        """Make the directories from ``path[length]`` on, with the file in the last one.

        Where others were faster with some of them, what remains is linked in theirs.
        Returns their last one where the file itself is still to be linked, else None.
        """
        directory.writable("/".join(path[:length]) or "the root directory")
        self._prepare("/".join(path[: length + 1]), making=True)
        ticket = self._cache.ticket()
        tree = Tree(path, length, link, self._make)
        # Where a server went meanwhile, the facts have to say so before it is linked.
        self._prepare("/".join(path[: length + 1]), making=True)
        for number, cap in enumerate(tree.caps):
            here = path[: length + number + 1]
            theirs = self._put(directory, here, Link(cap))
            if theirs is None:
                tree.keep(self._cache, ticket, number)
                return None
            if theirs.entry.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(
                    f"{'/'.join(here)}: a file is where a directory must be"
                )
            directory = Directory.of(theirs.entry.reference, theirs.write_reference)
        return directory

    def _make(self, children: dict[str, Link], label: str) -> Cap:
        """Make a directory. One whose response is lost is linked nowhere, and left."""
        make = self._gateway.make_directory
        for _ in range(self._gateway.retries):
            self._quorum.require(label, making=True)
            try:
                return self._send(make, children, self._layout, label=label)
            except GatewayTimeout:
                raise
            except StoreError:
                pass
        self._quorum.require(label, making=True)
        return self._send(make, children, self._layout, label=label)

    def check(self, path: Path) -> None:
        """Raise ReadOnly or ParentIsFile where ``path`` is known to be unwritable.

        NotEnoughServers where nothing may be changed now. Before the content is sent,
        not instead of the link.
        """
        self._directories.root.writable("the root directory")
        self._check_way(path)
        self._prepare("/".join(path))

    def _prepare(self, label: str, *, making: bool = False) -> None:
        """Raise NotEnoughServers where nothing may be changed; hold no lock."""
        if self._directories.root.write is not None:
            self._quorum.prepare(label, self.change_facts, making=making)

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

    def _look(self, parent: Directory, path: Path) -> FreshListing:
        """Read ``parent`` by its cap, now."""
        try:
            return self._directories.ask_directory(parent, path[:-1], path[-1])
        except NotEnoughShares:
            # It may be gone, and another in its place: the next attempt looks afresh.
            self._directories.forget(path)
            raise

    def _child(self, directory: Directory, path: Path) -> Child | None:
        """Read what is at ``path`` by now, after something went wrong there.

        While another gateway writes there, shares seem gone, or ours stumbles.
        """
        for number in range(self._gateway.retries):
            try:
                return self._look(directory, path).child
            except (NotEnoughShares, UnexpectedResponse):
                pause(number)
        return self._look(directory, path).child

    def _link(
        self, directory: Directory, path: Path, link: Link, replace: Replace
    ) -> None:
        """Link a file in a directory that is there."""
        theirs = self._put(directory, path, link, replace)
        if theirs is None:
            return
        label = "/".join(path)
        if theirs.entry.kind is not EntryKind.DIRECTORY:
            raise NameTaken(f"{label}: the name is taken")
        if replace == "only-files":
            raise NameIsDirectory(f"{label} is a directory")
        raise NameTaken(f"{label}: a directory has the name")

    def _put(
        self, directory: Directory, path: Path, link: Link, replace: Replace = "false"
    ) -> Child | None:
        """Link something at ``path``, or return what others have linked there."""
        name, label = path[-1], "/".join(path)
        write = directory.writable("/".join(path[:-1]) or "the root directory")
        cap = link.cap
        kind = EntryKind.DIRECTORY if cap.is_directory else EntryKind.FILE
        # Whoever reads an entry may not write by it.
        entry = Entry(kind, cap.read_only.uri, cap.size)

        def settled() -> tuple[bool, Child | None]:
            child = self._child(directory, path)
            if child is None or link.is_seen_in(child):
                return child is not None, None
            return replace == "false" or child.entry.kind is EntryKind.DIRECTORY, child

        def put(lock: WriteLock) -> Child | None:
            failure: StoreError | None = None
            for number in range(self._gateway.retries + 1):
                self._quorum.require(label)
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
                    # It may still be under way. One that replaces could come after what
                    # is saved next; one that does not is refused then, and tried once
                    # more.
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

        self._prepare(label)
        return self._locked(directory, label, put, settled)

    def _locked(
        self,
        directory: Directory,
        label: str,
        act: Callable[[WriteLock], T],
        settled: Callable[[], tuple[bool, T]],
    ) -> T:
        """Return what ``act`` does to a directory while nobody else writes to it.

        A gateway that writes may go on for some time after its client is gone. Where
        the lock was taken away meanwhile ``settled`` looks whether what was done is
        there, and what it then comes to; if not, it is done again.
        """
        seconds, longest = WRITING_SECONDS, self._gateway.longest
        for _ in range(LOCKS):
            with self._cache.lock(directory.namespace, label, seconds, longest) as lock:
                result = act(lock)
            if lock.lost:
                warned.of(label)
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
        """Send a change: all to directories, new ones too, go through here."""
        try:
            return request(*arguments, **keywords)
        except (NameTaken, StoreError):
            self._quorum.doubt()
            raise

    def change_facts(self, change: Change) -> dict[str, Any] | None:
        """Change the facts that the root's marker carries; return what they are now.

        ``change`` returns the facts as they are to be, given those that are there; it
        is asked until it changes nothing. A root without a marker gets one. None where
        something else has its name, that cannot carry them. Raises a StoreError where
        that can't be done.
        """
        root, gateway = self._directories.root, self._gateway
        root.writable("the root directory")

        def look() -> tuple[bool, Kept]:
            there = marker.read(gateway, root.best)
            return there.is_so(change(dict(there.facts))), there

        def write(lock: WriteLock) -> Kept:
            def send(children: dict[str, Link]) -> None:
                lock.renew()
                self._send(
                    gateway.set_children,
                    root.best,
                    children,
                    replace="only-files",
                    label=marker.WHAT,
                )

            return marker.write_facts(gateway, root.best, change, send)

        there = self._locked(root, marker.WHAT, write, look)
        return None if there.link is None else there.facts

    def mark(self, directory: Directory, label: str) -> bool:
        """Put the marker into a directory that has nothing in it, or return False.

        Whoever writes to it through another gateway meanwhile can lose what he writes.
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

        return is_empty() and self._locked(
            directory, label, put, lambda: (not is_empty(), True)
        )

    def unlink(self, path: Path, *, only: str | None = None) -> None:
        """Unlink the file at ``path``; a name that is not there is no error.

        What is there is read first; it stays if its cap is not ``only``. Raises
        NameIsDirectory for a directory: nobody could tell what is saved below it.
        """
        *parents, name = path
        label = "/".join(path)
        # What is read while too many are away may be of before, and lack the name.
        self._prepare(label)
        try:
            response = self._directories.ask(tuple(parents), name)
        except (FileMissing, ParentIsFile):
            return
        first, directory = response.child, response.directory
        if first is None or only not in (None, first.entry.reference):
            return
        if first.entry.kind is EntryKind.DIRECTORY:
            raise NameIsDirectory(f"{label} is a directory, and only files are deleted")
        leads_nowhere = first.entry.leads_nowhere
        if first.entry.kind is EntryKind.UNKNOWN and not leads_nowhere:
            raise InvalidCap(
                f"{label}: its cap is of a kind that is not known here; it may be a "
                "directory, and only files are deleted"
            )
        write = directory.writable("/".join(parents) or "the root directory")

        def is_there() -> bool:
            child = self._child(directory, path)
            return child is not None and child.entry == first.entry

        def unlink(lock: WriteLock) -> None:
            failure: StoreError | None = None
            for number in range(self._gateway.retries + 1):
                self._quorum.require(label)
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
                    # It may still be under way, and take what has the name by then.
                    if isinstance(error, GatewayTimeout):
                        raise
                    if isinstance(error, WriteCollision):
                        pause(number)
                else:
                    change.done(MISSING)
                    return
            if failure is not None:
                raise failure

        self._locked(directory, label, unlink, lambda: (not is_there(), None))
