"""Makes, replaces and removes the links in directories, so that none is lost.

A lost or unclear response does not count as a failure. The child is read then, and a
random token in the link's metadata, or the cap of a directory we made, tells whether
the link is ours. Missing directories are made before anything links to them, and linked
by one change.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from tahoestorage.cache import MISSING
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    NameIsDirectory,
    NameTaken,
    ParentIsFile,
    StoreError,
    WriteCollision,
)
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.directories import Directories, Directory, Path
from tahoestorage.tahoe.directorychanges import DirectoryChanges
from tahoestorage.tahoe.directorykeys import DirectoryKey
from tahoestorage.tahoe.linkreading import read_child, read_unlinkable
from tahoestorage.tahoe.linkstogether import Refusal, link_together
from tahoestorage.tahoe.preparations import Preparations
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.tahoe.serverlist import monotonic_now
from tahoestorage.tahoe.trees import Make, Tree, build_locks, deepest_directory
from tahoestorage.tahoe.writecollisions import pause, read_patiently
from tahoestorage.tahoe.writers import DirectoryWriter, LockedChange

Replace = Literal["false", "only-files"]


class Links(DirectoryChanges):
    """Makes and removes links in ``directories``; safe in threads and forks.

    ``layout`` is the format of new directories, "SDMF" or "MDMF".
    """

    def __init__(
        self,
        directories: Directories,
        layout: str = "SDMF",
        rules: ServerRules | None = None,
    ) -> None:
        super().__init__(directories, rules)
        self._layout = layout
        self.preparations = Preparations(
            directories,
            self.quorum.are_all_there,
            self._make if layout == "SDMF" else None,
        )
        """Makes what is missing on the way to a file while that is uploaded."""

    def add(
        self,
        path: Path,
        cap: Cap,
        *,
        replace: Replace = "false",
        since: float | None = None,
    ) -> None:
        """Link the file ``cap`` at ``path``, and make the directories that are missing.

        ``since`` is when the save began, by the monotonic clock: what was read of the
        servers after that does, for a second. With ``replace="only-files"`` it replaces
        a file. Raises NameTaken where the name is taken, NameIsDirectory where it would
        replace a directory, ParentIsFile where a file is in the way, ReadOnly where
        there is no write cap.
        """
        link = Link.with_token(cap, secrets.token_hex(16))
        self._add(path, link, replace, monotonic_now() if since is None else since)

    def _add(self, path: Path, link: Link, replace: Replace, since: float) -> None:
        make = partial(self._make, since=since)
        directory = self._reach(path[:-1], {path[-1]: link}, make, since)
        if directory is not None:
            self._link(directory, path, link, replace, since)

    def _reach(
        self, parents: Path, files: Mapping[str, Link], make: Make, since: float
    ) -> Directory | None:
        """Return the directory at ``parents``; None where it was made with ``files``.

        What is missing of the path is made by ``make``.
        """
        directory, length = deepest_directory(self.directories, parents)
        if length == len(parents):
            return directory
        seconds, label = self.gateway.request_seconds, "/".join(parents[: length + 1])
        with build_locks.lock(
            self.cache, directory, parents[length], seconds=seconds, label=label
        ) as was_free:
            # Whoever had the lock before us has made it.
            entry = self.cache.entry(directory.namespace, parents[length])
            if not was_free or isinstance(entry, Entry):
                directory, length = deepest_directory(self.directories, parents)
                if length == len(parents):
                    return directory
            return self._make_missing(directory, parents, length, files, make, since)

    def add_together(
        self,
        parents: Path,
        caps: Mapping[str, Cap],
        *,
        replace: Replace = "false",
        since: float | None = None,
    ) -> dict[str, Refusal]:
        """Link files in the directory at ``parents``, by one change.

        What is missing of the path is made with them. ``replace`` is as
        ``add`` has it. Returns what was not linked, with the error of each: NameTaken,
        NameIsDirectory, or a StoreError, after which a name may be there all the same.
        Of a change that is refused for one taken name nothing is done, so the others
        are linked by a second one. Raises what ``add`` raises of the way to the
        directory; nothing is linked then.
        """
        since = monotonic_now() if since is None else since
        links = {
            name: Link.with_token(cap, secrets.token_hex(16))
            for name, cap in caps.items()
        }
        make = partial(self.preparations.make, partial(self._make, since=since))
        try:
            directory = self._reach(parents, links, make, since)
        except (NameTaken, StoreError) as error:
            return dict.fromkeys(links, error)
        if directory is None:
            return {}
        return link_together(self, directory, parents, links, since, replace)

    def _make_missing(
        self,
        directory: Directory,
        parents: Path,
        length: int,
        files: Mapping[str, Link],
        make: Make,
        began: float,
    ) -> Directory | None:
        """Make the directories from ``parents[length]`` on, with files in the last one.

        Where another writer has made some of them meanwhile, the rest is linked in
        those. Returns the last of those if files are still to be linked, else None.
        """
        directory.writable("/".join(parents[:length]) or "the root directory")
        label = "/".join(parents[: length + 1])
        writer = self.writer(label)
        if writer is not self.writers.first:
            writer.learn_shares()
        since = self.prepare(label, making=True, since=began, writer=writer)
        ticket = self.cache.ticket()
        if writer is self.writers.first:
            tree = self.preparations.tree(directory, parents, length, files, make)
        else:
            # What was prepared, the first one made, as it encodes.
            make = partial(self._make, since=since, writer=writer)
            tree = Tree(parents, length, files, make)
        # If a server went away meanwhile, the facts must have it before the link.
        self.prepare(label, making=True, since=since, writer=writer)
        for number, cap in enumerate(tree.caps):
            here = parents[: length + number + 1]
            theirs = self._put(directory, here, Link(cap), since=since)
            if theirs is None:
                tree.keep(self.cache, ticket, number)
                return None
            if theirs.entry.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(
                    f"{'/'.join(here)}: a file is where a directory must be"
                )
            directory = Directory.of(theirs.entry.reference, theirs.write_reference)
        return directory

    def _make(
        self,
        children: dict[str, Link],
        label: str,
        since: float | None,
        key: DirectoryKey | None = None,
        writer: DirectoryWriter | None = None,
    ) -> Cap:
        """Make a directory; another if the response is lost, for none is linked.

        With a ``key`` it is tried once. By the first gateway if no ``writer`` is given.
        """
        writer = writer or self.writers.first
        make = partial(writer.gateway.make_directory, key=key)
        for _ in range(self.gateway.retries if key is None else 0):
            writer.quorum.require(label, making=True, since=since)
            try:
                return writer.send(make, children, self._layout, label=label)
            except GatewayTimeout:
                raise
            except StoreError:
                pass
        writer.quorum.require(label, making=True, since=since)
        return writer.send(make, children, self._layout, label=label)

    def check(self, path: Path) -> None:
        """Raise ReadOnly or ParentIsFile if the cache shows that a save would fail.

        And NotEnoughServers where nothing may be changed now. To be called before an
        upload, so that it is not in vain; ``add`` checks again.
        """
        self.directories.root.writable("the root directory")
        self._check_way(path)
        self.prepare("/".join(path))

    def _check_way(self, path: Path) -> None:
        for length in range(1, len(path)):
            parent = self.directories.cached(path[: length - 1])
            if not isinstance(parent, Directory):
                return
            label = "/".join(path[:length])
            entry = self.cache.entry(parent.namespace, path[length - 1])
            if isinstance(entry, Entry) and entry.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(f"{'/'.join(path)}: {label} is a file")
            cached = self.directories.cached(path[:length])
            if isinstance(cached, Directory) and not cached.read.is_mutable:
                cached.writable(label)

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

        def settled(held: LockedChange) -> tuple[bool, Child | None]:
            read = partial(self.read_listing, directory, path, held.gateway)
            child = read_patiently(read, self.gateway.retries).child
            if child is None or link.is_seen_in(child):
                return child is not None, None
            return replace == "false" or child.entry.kind is EntryKind.DIRECTORY, child

        def put(held: LockedChange) -> Child | None:
            failure: StoreError | None = None
            for number in range(self.gateway.retries + 1):
                held.quorum.require(label, since=since)
                held.renew()
                change = self.cache.change(directory.namespace, name)
                send = held.send if replace == "false" else held.send_undoing
                try:
                    send(
                        held.gateway.set_children,
                        write,
                        {name: link},
                        replace=replace,
                        label=label,
                    )
                except (NameTaken, StoreError) as error:
                    change.done(None)
                    if (found := settled(held))[0]:
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

        since = self.prepare(label, since=since)
        return self.with_lock(directory, label, put, settled)

    def unlink(self, path: Path, *, only: str | None = None) -> None:
        """Unlink the file at ``path``; no error if there is none.

        The child is read first, and again where somebody changed the directory before
        the lock on it was ours. With ``only``, a cap, it is left if it has another one.
        Raises NameIsDirectory for a directory, for something may be saved in it
        meanwhile; InvalidCap for a child of an unknown kind; ReadOnly. What is put
        there between the reading and the request, by who asks for no lock, is unlinked.
        """
        *parents, name = path
        label = "/".join(path)
        # While too many servers are away a listing may be old, without the name.
        source = self.writer(label)
        since = self.prepare(label, writer=source)
        ticket = self.cache.ticket()
        # Where no change of others can be seen, there is no lock to wait for either.
        sees = self.cache.unchanged(ticket, ticket, None)
        found = read_unlinkable(self.directories, path, only, source.gateway)
        if found is None:
            return
        first, directory = found
        write = directory.writable("/".join(parents) or "the root directory")

        def is_there(held: LockedChange) -> bool:
            nonlocal ticket
            ticket = self.cache.ticket()
            gateway = held.gateway
            read = partial(read_child, self.directories, directory, path, gateway)
            entry = read_patiently(read, self.gateway.retries)
            # Its size is that of its cap.
            return entry is not None and replace(entry, size=first.size) == first

        def is_gone(held: LockedChange) -> bool:
            nonlocal first, ticket
            then, ticket = ticket, self.cache.ticket()
            if held.gateway is source.gateway and (
                not sees or self.cache.unchanged(then, ticket, directory.namespace)
            ):
                return False
            now = read_unlinkable(self.directories, path, only, held.gateway)
            if now is not None:
                first, there = now
                if there.namespace.identity != directory.namespace.identity:
                    raise WriteCollision(f"{label}: its directory was replaced")
            return now is None

        def unlink(held: LockedChange) -> None:
            failure: StoreError | None = None
            for number in range(self.gateway.retries + 1):
                held.quorum.require(label, since=since)
                held.renew()
                if is_gone(held):
                    return
                change = self.cache.change(directory.namespace, name)
                try:
                    held.send_undoing(
                        held.gateway.unlink,
                        write,
                        name,
                        leads_nowhere=first.leads_nowhere,
                        label=label,
                    )
                except FileMissing:
                    change.done(None)
                    return
                except StoreError as error:
                    change.done(None)
                    failure = error
                    if not is_there(held):
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

        self.with_lock(
            directory, label, unlink, lambda held: (not is_there(held), None)
        )
