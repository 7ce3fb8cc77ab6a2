"""Unlinks empty directories on a grid, while nobody writes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.cache import MISSING
from tahoestorage.care.namedfiles import all_storages
from tahoestorage.display import reason
from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    InvalidCap,
    NameTaken,
    ParentIsFile,
    StoreError,
    TahoeStorageError,
)
from tahoestorage.redaction import redact
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.directories import Directory, Path
from tahoestorage.tahoe.directorychanges import WRITING_SECONDS
from tahoestorage.tahoe.urlpaths import is_addressable

LINK_PAUSES = (0.5, 2.0, 8.0)
"""Seconds between the tries to link again what was unlinked and is not empty."""


class SomebodyWrites(Exception):
    """A process that shares the cache has changed something meanwhile."""


@dataclass
class PruneCounts:
    """What was found and done; ``pruned`` and ``linked_again`` have paths.

    ``young`` and ``read_only`` count empty directories that are left alone, ``odd``
    directories with names that can't be asked for, such as "..".
    """

    directories: int = 0
    odd: int = 0
    young: int = 0
    read_only: int = 0
    pruned: list[str] = field(default_factory=list)
    linked_again: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, with secrets left out."""
        return {
            "directories": self.directories,
            "odd": self.odd,
            "young": self.young,
            "read_only": self.read_only,
            "pruned": [redact(path) for path in self.pruned],
            "linked_again": [redact(path) for path in self.linked_again],
            "failures": [
                {"path": redact(path), "reason": why} for path, why in self.failures
            ],
        }


@dataclass
class _Visit:
    """A directory on the way down: what of it is still to be looked at.

    ``left`` counts its children, without the marker; ``linked`` is when it was linked.
    """

    path: Path
    directory: Directory
    linked: float | None
    pending: list[Child] = field(default_factory=list)
    left: int = 0
    leads_back: bool = False


def _other_roots(storage: TahoeStorage) -> set[bytes]:
    """Return the storage indexes of the roots of other aliases."""
    own = storage.directories.root.read.storage_index
    return {
        other.directories.root.read.storage_index
        for other in all_storages()
        if isinstance(other, TahoeStorage)
    } - {own}


class Pruner:
    """Prunes below a path, once; a directory of empty ones is empty too.

    Only what was linked before ``before``, in seconds since 1970, for a save makes a
    directory before its file is in it. ``looked`` is called with numbers of names.
    """

    def __init__(
        self,
        storage: TahoeStorage,
        *,
        before: float,
        dry_run: bool,
        looked: Callable[[int], None],
    ) -> None:
        self._gateway = storage.directories.gateway
        self._directories = storage.directories
        self._cache = storage.directories.cache
        self._links = storage.links
        self._before = before
        self._dry_run = dry_run
        self._looked = looked
        # What is saved below the root of another storage would have no way to it.
        self._seen: set[bytes] = _other_roots(storage)
        self._ticket = self._cache.ticket()
        self._saw_writers = self.sees_writers
        self.counts = PruneCounts()

    @property
    def sees_writers(self) -> bool:
        """Whether the cache tells what other processes change."""
        return self._cache.unchanged(self._ticket, self._ticket, None)

    def watch(self, seconds: float) -> None:
        """Look for so long whether anybody writes. Raises SomebodyWrites."""
        until = time.monotonic() + seconds
        while self.sees_writers:
            self._check_unchanged()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 1.0))

    def prune(self, path: Path) -> None:
        """Unlink what is empty below ``path``, the innermost first.

        Raises SomebodyWrites, FileMissing, ParentIsFile, and StoreErrors; until then
        what was unlinked was empty.
        """
        top = self._directories.root
        if path:
            top = self._directories.fetch(path).directory
        visits = [self._open(_Visit(path, top, None))]
        while visits:
            here = visits[-1]
            if here.pending:
                below = self._below(here, here.pending.pop())
                if below is not None:
                    visits.append(self._open(below))
                continue
            visits.pop()
            is_empty = visits and not here.left and not here.leads_back
            if is_empty and self._may_go(visits[-1], here):
                visits[-1].left -= self._dry_run or self._unlink(visits[-1], here)
                if self._dry_run:
                    self.counts.pruned.append("/".join(here.path))

    def _open(self, visit: _Visit) -> _Visit:
        index = visit.directory.read.storage_index
        # What is linked twice is left alone: it may be empty for another reason.
        visit.leads_back = index in self._seen
        self._seen.add(index)
        if visit.leads_back:
            return visit
        self.counts.directories += 1
        try:
            children = self._children(visit.directory.best, (), visit.path)
        except StoreError as error:
            if not visit.path:
                raise
            self.counts.failures.append(("/".join(visit.path), reason(error)))
            visit.leads_back = True
            return visit
        visit.left = len(children)
        visit.pending = [c for c in children if c.entry.kind is EntryKind.DIRECTORY]
        self._looked(len(children))
        return visit

    def _children(self, cap: Cap, path: Path, label: Path) -> list[Child]:
        found: list[Child] = []
        self._gateway.list(cap, path, found.append, label="/".join(label) or "the root")
        return [c for c in found if not marker.is_reserved_name(c.name)]

    def _below(self, here: _Visit, child: Child) -> _Visit | None:
        if not is_addressable(child.name):
            self.counts.odd += 1
            return None
        try:
            directory = Directory.of(child.entry.reference, child.write_reference)
        except InvalidCap:
            return None
        linked = child.entry.modified or child.entry.created
        return _Visit((*here.path, child.name), directory, linked)

    def _may_go(self, above: _Visit, here: _Visit) -> bool:
        """Whether an empty directory may be unlinked, by its age and its caps."""
        if above.directory.write is None or here.directory.write is None:
            self.counts.read_only += 1
            return False
        if here.linked is None or here.linked >= self._before:
            self.counts.young += 1
            return False
        return True

    def _unlink(self, above: _Visit, here: _Visit) -> bool:
        """Unlink an empty directory; return False where it is not empty any more.

        It is looked at right before, and right after: what was written in between is
        linked again.
        """
        label, name = "/".join(here.path), here.path[-1]
        write, namespace = above.directory.writable(label), above.directory.namespace
        cache, longest = self._cache, self._gateway.request_seconds
        is_sent = False
        try:
            with cache.lock(namespace, label, WRITING_SECONDS, longest) as lock:
                held = self._links.writers.hold(lock, label, anywhere=False)
                held.quorum.require(label)
                held.renew()
                self._check_unchanged()
                if not self._is_still_empty(above, here):
                    return False
                change = cache.change(namespace, name)
                is_sent = True
                try:
                    held.send_undoing(held.gateway.unlink, write, name, label=label)
                except TahoeStorageError:
                    change.done(None)
                    raise
                finally:
                    self._directories.forget(here.path)
                change.done(MISSING)
                self._ticket = cache.ticket()
        except BaseException as error:
            if is_sent:
                # It may be carried out all the same, also after a Ctrl-C.
                why = reason(error) if isinstance(error, Exception) else "interrupted"
                self.counts.failures.append((label, f"perhaps unlinked: {why}"))
                is_empty = self._is_empty_now(above, here)
                if not is_empty and isinstance(error, StoreError):
                    raise SomebodyWrites from None
            raise
        if not self._is_empty_now(above, here):
            raise SomebodyWrites
        self.counts.pruned.append(label)
        return True

    def _is_empty_now(self, above: _Visit, here: _Visit) -> bool:
        """Whether a directory is empty that was unlinked; if not, link it again."""
        is_empty = False
        try:
            is_empty = not self._children(here.directory.best, (), here.path)
        except StoreError:
            pass  # Nobody knows: it had better be linked.
        finally:
            # Also after a Ctrl-C.
            if not is_empty:
                label = "/".join(here.path)
                write = above.directory.writable(label)
                self._put_back(write, here.path[-1], here, label)
                self._cache.forget(above.directory.namespace)
        return is_empty

    def _put_back(self, write: Cap, name: str, here: _Visit, label: str) -> None:
        """Link a directory again; what can't be linked is a failure, in the counts."""
        for pause in (*LINK_PAUSES, None):
            try:
                self._link_again(write, name, here, label)
                return
            except TahoeStorageError as error:
                why = f"unlinked with something in it: {reason(error)}"
            if pause is not None:
                time.sleep(pause)
        self.counts.failures.append((label, why))

    def _link_again(self, write: Cap, name: str, here: _Visit, label: str) -> None:
        """Link a directory; by another name where somebody has made one of its own."""
        link = Link(here.directory.best)
        try:
            self._gateway.set_children(write, {name: link}, label=label)
        except NameTaken:
            if self._is_still(write, name, here, label):
                return
            name = f"{name}.found-{secrets.token_hex(4)}"
            self._gateway.set_children(write, {name: link}, label=label)
            label = "/".join((*here.path[:-1], name))
        self.counts.linked_again.append(label)

    def _is_still(self, write: Cap, name: str, here: _Visit, label: str) -> bool:
        try:
            node = self._gateway.list(write, (name,), label=label)
        except (FileMissing, ParentIsFile):
            return False
        return bool(node.read == here.directory.read.uri)

    def _is_still_empty(self, above: _Visit, here: _Visit) -> bool:
        name, found = here.path[-1], list[Child]()
        try:
            node = self._gateway.list(
                above.directory.best, (name,), found.append, label="/".join(here.path)
            )
        except (FileMissing, ParentIsFile):
            return False
        is_same = node.read == here.directory.read.uri
        return is_same and all(marker.is_reserved_name(c.name) for c in found)

    def _check_unchanged(self) -> None:
        # A Redis that goes away is as bad a sign as a writer.
        if self._saw_writers and not self._cache.unchanged(
            self._ticket, self._cache.ticket(), None
        ):
            raise SomebodyWrites
