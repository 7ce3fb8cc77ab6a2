"""Changes to directories that lose nothing: one at a time, by cap, and looked after.

An answer that is lost or unclear is not believed to be a failure: what is there is
read, and a token in the link's metadata tells whose it is.
"""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from collections.abc import Callable
from typing import Any, Literal

from tahoestorage.cache import MISSING, Listing, Turn
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    InvalidCap,
    NameIsDirectory,
    NameTaken,
    NotEnoughShares,
    ParentIsFile,
    StoreError,
    WriteCollision,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.directories import Answer, Directories, Directory, Path
from tahoestorage.tahoe.facts import Rules
from tahoestorage.tahoe.quorum import Quorum

WRITING_SECONDS = 40.0

_all: weakref.WeakSet[Links] = weakref.WeakSet()


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
        rules: Rules | None = None,
    ) -> None:
        self._directories = directories
        self._gateway = directories.gateway
        self._cache = directories.cache
        self._layout = layout
        self._quorum = Quorum(self._gateway, directories.root.best, rules)
        # A gateway makes a key before it finds that a directory is there already: of
        # many threads one makes it, and the others look.
        self._making = threading.Lock()
        _all.add(self)

    def make(self, path: Path) -> Directory:
        """Return the directory at ``path`` for writing, made where it was missing.

        Raises ParentIsFile where a file is in the way, ReadOnly where we may not.
        """
        directories = self._directories
        known = directories.known(path, writing=True)
        if isinstance(known, Directory) and known.write is not None:
            return known

        def recall() -> Answer | None:
            known = directories.known(path, writing=True)
            if isinstance(known, Directory) and known.write is not None:
                return Answer(known, Listing(), None)
            return None

        if known is not MISSING:
            try:
                return directories.look(path, recall=recall).directory
            except FileMissing:
                pass
        with self._making:
            here = directories.root
            for length in range(1, len(path) + 1):
                here = self._descend(here, path[:length])
            return here

    def check(self, path: Path) -> None:
        """Raise ReadOnly or ParentIsFile where ``path`` is known to be unwritable.

        NotEnoughServers where nothing may be changed now. Before the content is sent,
        not instead of the link.
        """
        self._directories.root.writable("the root directory")
        self._check_way(path)
        self._prepare("/".join(path))

    def _prepare(self, what: str, *, making: bool = False) -> None:
        """Raise NotEnoughServers where nothing may be changed; hold no lock."""
        if self._directories.root.write is not None:
            self._quorum.prepare(what, self.change_facts, making=making)

    def _check_way(self, path: Path) -> None:
        for length in range(1, len(path)):
            parent = self._directories.known(path[: length - 1])
            if not isinstance(parent, Directory):
                return
            what = "/".join(path[:length])
            entry = self._cache.entry(parent.scope, path[length - 1])
            if isinstance(entry, Entry) and entry.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(f"{'/'.join(path)}: {what} is a file")
            known = self._directories.known(path[:length])
            if isinstance(known, Directory) and not known.read.is_mutable:
                known.writable(what)

    def _descend(self, parent: Directory, path: Path) -> Directory:
        """Return the directory at ``path``, made if it is not in ``parent``."""
        name = path[-1]
        entry = self._cache.entry(parent.scope, name)
        if entry is MISSING:
            return self._mkdir(parent, path)
        write = None
        if isinstance(entry, Entry):
            write = self._cache.write_reference(parent.scope, name)
        if isinstance(entry, Entry) and write is not None:
            found = Directory.of(entry.reference, write)
        else:
            child = self._look(parent, path).child
            if child is None:
                return self._mkdir(parent, path)
            entry = child.entry
            found = Directory.of(entry.reference, child.write_reference)
        if entry.kind is not EntryKind.DIRECTORY:
            raise ParentIsFile(f"{'/'.join(path)}: a file is where a directory must be")
        return found

    def _look(self, parent: Directory, path: Path) -> Answer:
        """Read ``parent`` by its cap, now."""
        try:
            return self._directories.ask_directory(parent, path[:-1], path[-1])
        except NotEnoughShares:
            # It may be gone, and another in its place: the next attempt looks afresh.
            self._directories.forget(path)
            raise

    def _mkdir(self, parent: Directory, path: Path) -> Directory:
        name, what = path[-1], "/".join(path)
        write = parent.writable("/".join(path[:-1]) or "the root directory")
        fault: StoreError | None = None
        self._prepare(what, making=True)
        with self._turn(parent, what) as turn:
            for _ in range(self._gateway.retries + 1):
                self._quorum.require(what, making=True)
                turn.renew()
                ticket = self._cache.ticket()
                change = self._cache.change(parent.scope, name)
                try:
                    cap = self._gateway.mkdir(write, name, self._layout, what=what)
                except (NameTaken, StoreError) as error:
                    self._quorum.doubt()
                    # Taken, or perhaps made: what is there now is as good as ours.
                    change.done(None)
                    if self._look(parent, path).child is not None:
                        break
                    fault = error if isinstance(error, StoreError) else None
                else:
                    entry = Entry(EntryKind.DIRECTORY, cap.read_only.uri)
                    change.done(entry, cap.uri)
                    made = Directory.of(entry.reference, cap.uri)
                    # Empty, unless somebody has written to it since the ticket.
                    self._cache.fill(ticket, made.scope, Listing())
                    return made
            else:
                raise fault or NameTaken(f"{what} comes and goes while it is made")
        return self._descend(parent, path)

    def link(
        self,
        directory: Directory,
        path: Path,
        cap: Cap,
        *,
        replace: Literal["false", "only-files"] = "false",
    ) -> None:
        """Link ``cap`` at ``path``, which is in ``directory``.

        Raises NameTaken where somebody else has the name, NameIsDirectory where a
        directory would have to be replaced.
        """
        name, what = path[-1], "/".join(path)
        write = directory.writable("/".join(path[:-1]) or "the root directory")
        token = secrets.token_hex(16)
        fault: StoreError | None = None
        self._prepare(what)
        with self._turn(directory, what) as turn:
            for _ in range(self._gateway.retries + 1):
                self._quorum.require(what)
                turn.renew()
                change = self._cache.change(directory.scope, name)
                try:
                    link = Link.with_token(cap, token)
                    self._gateway.set_children(
                        write, {name: link}, replace=replace, what=what
                    )
                except (NameTaken, StoreError) as error:
                    self._quorum.doubt()
                    change.done(None)
                    child = self._look(directory, path).child
                    if child is not None and child.token == token:
                        return
                    if child is not None and child.entry.kind is EntryKind.DIRECTORY:
                        if replace == "only-files":
                            raise NameIsDirectory(f"{what} is a directory") from None
                        raise NameTaken(f"{what}: a directory has the name") from None
                    if child is not None and replace == "false":
                        raise NameTaken(f"{what}: the name is taken") from None
                    fault = error if isinstance(error, StoreError) else None
                else:
                    # Whoever reads an entry may not write by it.
                    change.done(Entry(EntryKind.FILE, cap.read_only.uri, cap.size))
                    return
            raise fault or NameTaken(f"{what} comes and goes while it is being linked")

    def _turn(self, directory: Directory, what: str) -> Turn:
        """Return the turn at writing to a directory; each request is to renew it.

        A gateway that writes may go on for some time after its client is gone.
        """
        seconds = self._gateway.longest + WRITING_SECONDS
        return self._cache.turn(directory.scope, what, seconds)

    def change_facts(
        self, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Change the facts that the root's marker carries; return what they are now.

        ``change`` returns the facts as they are to be, given those that are there; it
        is asked until it changes nothing. A root without a marker gets one. Raises a
        StoreError where that can't be done.
        """
        root, what = self._directories.root, "the root directory's marker"
        write = root.writable("the root directory")
        fault: StoreError | None = None
        with self._turn(root, what) as turn:
            for _ in range(self._gateway.retries + 2):
                facts = marker.read_facts(self._gateway, root.best)
                changed = change(dict(facts))
                if changed == facts:
                    return facts
                turn.renew()
                try:
                    self._gateway.set_children(
                        write, marker.child(changed), replace="only-files", what=what
                    )
                except StoreError as error:
                    # What is there is read in any case.
                    fault = error
        raise fault or WriteCollision(
            f"{what}: others change it all the time; try again"
        )

    def unlink(self, path: Path, *, only: str | None = None) -> None:
        """Unlink the file at ``path``; a name that is not there is no error.

        What is there is read first; it stays if its cap is not ``only``. Raises
        NameIsDirectory for a directory: nobody could tell what is saved below it.
        """
        *parents, name = path
        what = "/".join(path)
        # What is read while too many are away may be of before, and lack the name.
        self._prepare(what)
        try:
            answer = self._directories.ask(tuple(parents), name)
        except (FileMissing, ParentIsFile):
            return
        first = child = answer.child
        if first is not None and only not in (None, first.entry.reference):
            return
        directory = answer.directory
        fault: StoreError | None = None
        with self._turn(directory, what) as turn:
            for _ in range(self._gateway.retries + 1):
                turn.renew()
                if child is None or first is None or child.entry != first.entry:
                    return
                if child.entry.kind is EntryKind.DIRECTORY:
                    raise NameIsDirectory(
                        f"{what} is a directory, and only files are deleted"
                    )
                unknown = child.entry.kind is EntryKind.UNKNOWN
                if unknown and not child.entry.leads_nowhere:
                    raise InvalidCap(
                        f"{what}: its cap is of a kind that is not known here; it may "
                        "be a directory, and only files are deleted"
                    )
                write = directory.writable("/".join(parents) or "the root directory")
                self._quorum.require(what)
                change = self._cache.change(directory.scope, name)
                try:
                    self._gateway.unlink(
                        write,
                        name,
                        leads_nowhere=child.entry.leads_nowhere,
                        what=what,
                    )
                except FileMissing:
                    change.done(None)
                    return
                except StoreError as error:
                    self._quorum.doubt()
                    change.done(None)
                    fault = error
                    child = self._look(directory, path).child
                else:
                    change.done(MISSING)
                    return
            if fault is not None:
                raise fault


def _after_fork() -> None:
    for links in list(_all):
        links._making = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
