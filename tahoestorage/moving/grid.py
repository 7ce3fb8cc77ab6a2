"""A grid as the source or target of a copy."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from django.core.files.base import File

from tahoestorage.backends.content import body_of
from tahoestorage.backends.digests import MD5
from tahoestorage.backends.reservednames import grid_path
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.cache import MISSING
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import FileMissing, NameIsDirectory, ParentIsFile
from tahoestorage.moving.content import digest_of
from tahoestorage.moving.linkqueue import LinkQueue
from tahoestorage.moving.names import NameRules, NoFile, utf8
from tahoestorage.moving.pool import resting
from tahoestorage.moving.store import Found, Listed, Stat, Store
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.directories import Directory, FreshListing, Path
from tahoestorage.tahoe.gateways import Gateways
from tahoestorage.tahoe.serverlist import monotonic_now

KEPT_NAMES = 10_000
"""So many names of the first of two walks are kept for the second."""
KEPT_SECONDS = 30.0
"""For so long: what a host with another cache has changed is seen after that."""
_NO_CAP = (
    "it is no file: its link has no cap, as other tools leave it where a file was "
    "deleted"
)


class Grid(Store):
    """Files of a TahoeStorage.

    Each directory is listed afresh in a run, once where ``keeping_listings`` kept it;
    what this host then writes is seen through the cache.
    """

    rules = NameRules(nfc=True, tree=True, encode=utf8)
    packs = False

    def __init__(self, storage: TahoeStorage) -> None:
        super().__init__(storage)
        self._directories = storage.directories
        self._fresh: set[Path] = set()
        self._lock = threading.Lock()
        self._queue = LinkQueue(storage.link_together)
        replace = partial(storage.link_together, replace="only-files")
        self._replacing = LinkQueue(replace)
        self._looked_again: set[str] = set()
        self._keeps = False
        self._kept: dict[str, tuple[float, Listed]] = {}
        self._kept_names = 0

    def overlaps(self, other: Store) -> bool:
        """Whether both have the same root."""
        return isinstance(other, Grid) and self.place() == other.place()

    def where(self) -> str:
        return "its root directory"

    def realm(self) -> Hashable:
        return "grid", self.place()

    def key(self, name: str) -> str:
        return "/".join(grid_path(name))

    def place(self) -> Hashable:
        return self._directories.root.namespace.identity

    def ready(self, prefix: str) -> AbstractContextManager[None]:
        self._directories.root.writable("the root directory")
        # By the gateway that is to change directories.
        self._relist((), None)
        return contextlib.nullcontext()

    def refuses(self, name: str) -> str | None:
        if marker.has_reserved_name(tuple(name.split("/"))):
            return f"names as {marker.NAME!r} are the storage's own on a grid"
        return super().refuses(name)

    @contextlib.contextmanager
    def keeping_listings(self) -> Iterator[None]:
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False

    def _list(self, directory: str) -> Listed:
        since, listed = self._kept.pop(directory, (-math.inf, Listed([], [])))
        if monotonic_now() - since <= KEPT_SECONDS:
            return listed
        since, listed = monotonic_now(), self._list_now(directory)
        if self._keeps:
            self._kept_names += len(listed.directories) + len([*listed.files])
            if self._kept_names <= KEPT_NAMES:
                self._kept[directory] = since, listed
        return listed

    def _list_now(self, directory: str) -> Listed:
        response = self._relist(grid_path(directory), self._directories.gateways)
        directories: list[str] = []
        files: list[Found] = []
        for name, entry in response.listing.items():
            if entry.kind is EntryKind.DIRECTORY:
                directories.append(name)
            elif entry.leads_nowhere:
                files.append(Found(name, error=NoFile(_NO_CAP)))
            else:
                # Of a mutable file a listing tells nothing: each is asked for itself.
                stat = None if _is_mutable(entry) else _stat(entry)
                files.append(Found(name, stat))
        directories.sort()
        files.sort(key=lambda each: each.name)
        return Listed(directories, files, response.directory.namespace.identity)

    def _relist(self, path: Path, source: Gateways | None) -> FreshListing:
        response = self._directories.fetch(path, None, source)
        self._fresh.add(path)
        for name, entry in response.listing.items():
            if entry.kind is EntryKind.DIRECTORY:
                # Other tools may have put another one in its place.
                there = Directory.of(entry.reference, None)
                self._directories.forget_if_moved((*path, name), there)
        return response

    def _freshen(self, path: Path) -> None:
        """List what this run has not listed yet of the directories down to ``path``."""
        if path in self._fresh:
            return
        for length in range(len(path) + 1):
            here = path[:length]
            with self._lock:
                if here in self._fresh:
                    continue
                if length and self._directories.cached(here) is MISSING:
                    # Whoever makes it from now on, the cache is told or knows nothing.
                    self._fresh.add(path)
                    return
                try:
                    self._relist(here, self._directories.gateways)
                except (FileMissing, ParentIsFile):
                    return

    def look_again(self, name: str) -> Stat | None:
        with contextlib.suppress(FileMissing, ParentIsFile):
            directories = self._directories
            directories.fetch(grid_path(name)[:-1], None, directories.gateways)
        # Whoever looks once more replaces it then, and waits for no other files before.
        self._looked_again.add(name)
        return self.stat(name)

    def stat(self, name: str) -> Stat | None:
        path = grid_path(name)
        self._freshen(path[:-1])
        entry = self._directories.entry(path)
        if entry is None:
            return None
        if entry.kind is EntryKind.DIRECTORY:
            raise NameIsDirectory("a directory has the name")
        if entry.leads_nowhere:
            return None
        if _is_mutable(entry):
            cap = Cap.parse(entry.reference)
            ask = self._directories.gateways.ask
            size = ask(lambda gateway: gateway.list(cap, label=name)).size
            return Stat(size, None, entry.modified, changes_unseen=True)
        return _stat(entry)

    def digests(self, stat: Stat) -> Mapping[str, bytes]:
        if stat.version is None:
            return {}
        found = {"cap": stat.version.encode()}
        literal = Cap.parse(stat.version).literal
        if literal is not None:
            found[MD5] = digest_of(literal, MD5)
        return found

    def write(self, name: str, content: File[Any], *, replace: bool) -> None:
        # Not save() nor open(): neither takes exactly one name and needs no disk.
        since, path = monotonic_now(), grid_path(name)
        if name in self._looked_again if replace else self._is_dead(path):
            self._looked_again.discard(name)
            cap = self.storage.upload(name, body_of(content))
            # Somebody may have put a file there meanwhile.
            if replace or self._is_dead(path):
                self.storage.link(name, cap, "only-files", since=since)
            else:
                self.storage.link(name, cap, "false", since=since)
            return
        queue = self._replacing if replace else self._queue
        with queue.announced("/".join(path)) as link:
            cap = self.storage.upload(name, body_of(content))
            # Hundreds may wait for their link, and some sources keep it in memory.
            content.close()
            with resting():
                link(cap)

    def _is_dead(self, path: Path) -> bool:
        entry = self._directories.entry(path)
        return entry is not None and entry.leads_nowhere


def _is_mutable(entry: Entry) -> bool:
    # Listings have the size of every other file.
    if entry.size is not None or entry.kind is not EntryKind.FILE:
        return False
    return Cap.parse(entry.reference).is_mutable


def _stat(entry: Entry) -> Stat:
    return Stat(entry.size, entry.modified, entry.modified, entry.reference)
