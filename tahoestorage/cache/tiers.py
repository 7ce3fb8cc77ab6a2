"""The tiers as one: sealed pages on disk, read ones in memory, changes told to all."""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tahoestorage.cache.disk import DiskFault, DiskLocked, DiskTier, private_directory
from tahoestorage.cache.generations import Generations
from tahoestorage.cache.memory import Held, MemoryTier
from tahoestorage.cache.pages import Page
from tahoestorage.cache.sealing import Scope

logger = logging.getLogger("tahoestorage.cache")

# Without shared generations nobody says that a page is outdated.
UNSHARED_SECONDS = 2.0
LOOK_SECONDS = 0.5
LOCKED_SECONDS = 1.0
_HEADER = struct.Struct(">BdQ")
_VERSION = 1

Change = Callable[[Callable[[bytes], Page | None]], Iterator[tuple[bytes, Page]]]

_all: weakref.WeakSet[Tiers] = weakref.WeakSet()


class Tiers:
    """Pages by key, from the nearest tier that has them.

    Everything here works without the disk: whatever fails there is logged once in
    a ``lifetime`` and costs requests, and the other processes of the host, which
    may still read from it, are told through the generations not to believe it.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        size_limit: int,
        lifetime: float,
        memory_entries: int,
    ) -> None:
        self.lifetime = lifetime
        self._directory = directory
        self._size_limit = size_limit
        self._memory_entries = memory_entries
        self._warned = float("-inf")
        self._parents: list[DiskTier | None] = []
        self._start()
        _all.add(self)

    def _start(self) -> None:
        self._lock = threading.RLock()
        self.memory = MemoryTier(self._memory_entries)
        self._disk: DiskTier | None = None
        self._disk_again = float("-inf")
        self._looked = time.monotonic()
        if self._directory is not None:
            try:
                private_directory(self._directory)
                self.generations = Generations(self._directory / "generations")
                return
            except (DiskFault, OSError) as error:
                self._warn("can't be used", error)
        self.generations = Generations(None)
        self._disk_again = float("inf")

    def after_fork(self) -> None:
        """Take nothing over from the parent that a child must not share."""
        # Dropping it here would close connections that are the parent's.
        self._parents.append(self._disk)
        self._start()

    @property
    def shared(self) -> bool:
        """Whether other processes tell this one what they change."""
        return self.generations.path is not None

    def _warn(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._warned > self.lifetime:
            self._warned = now
            logger.warning(
                "The cache directory %s %s (%s). Everything works without it, slower.",
                self._directory,
                what,
                error,
            )

    def look(self) -> None:
        """Start anew where somebody removed the cache directory's files."""
        self._looked = time.monotonic()
        if not self.generations.is_current():
            with self._lock:
                if not self.generations.is_current():
                    self._start()

    def _open_disk(self) -> DiskTier | None:
        disk = self._disk
        if disk is not None or time.monotonic() < self._disk_again:
            return disk
        with self._lock:
            if self._disk is None and self._directory is not None:
                try:
                    self._disk = DiskTier(self._directory, self._size_limit)
                except DiskFault as error:
                    self._fault(error)
            return self._disk

    def _fault(self, error: DiskFault) -> None:
        self._warn("failed", error)
        if isinstance(error, DiskLocked):
            self._disk_again = time.monotonic() + LOCKED_SECONDS
        else:
            self._disk_again = time.monotonic() + self.lifetime
            self._disk = None

    def page(self, scope: Scope, key: bytes, *, expired: bool = False) -> Page | None:
        """Return the page at ``key`` if it is known; an old one too, if ``expired``."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self.look()
        generation = self.generations.generation(scope.slot)
        held = self.memory.get(key)
        if held is None or held.generation != generation or not self._fresh(held):
            held = self._from_disk(scope, key, generation)
            if held is None:
                return None
            self.memory.set(key, held)
        return held.page if expired or self._fresh(held) else None

    def _fresh(self, held: Held) -> bool:
        # Not longer than a lifetime either: the clock may have been set back.
        return 0 < held.expiry - time.time() <= self.lifetime

    def _from_disk(self, scope: Scope, key: bytes, generation: int) -> Held | None:
        disk = self._open_disk()
        if disk is None:
            return None
        try:
            return self._opened(disk.get(key), scope, key, generation)
        except DiskFault as error:
            self._fault(error)
            return None

    def _opened(
        self, sealed: bytes | None, scope: Scope, key: bytes, generation: int
    ) -> Held | None:
        if sealed is None or len(sealed) < _HEADER.size:
            return None
        header = sealed[: _HEADER.size]
        version, expiry, epoch = _HEADER.unpack(header)
        if version != _VERSION or epoch != self.generations.epoch(scope.slot):
            return None
        opened = scope.seal.open(sealed[_HEADER.size :], key + header)
        return None if opened is None else Held(generation, expiry, Page.unpack(opened))

    def fill(
        self,
        scope: Scope,
        generation: int,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        """Keep pages, unless the generation is another one by now.

        ``hold`` says whether memory takes them at once. Failing is silent.
        """
        if hold:
            pages = list(pages)
            if not self.shared:
                expiry = min(expiry, time.time() + UNSHARED_SECONDS)
            for key, page in pages:
                self.memory.set(key, Held(generation, expiry, page))
        disk = self._open_disk()
        if disk is None:
            return
        try:
            with disk.transaction():
                # Whoever changes something does so in a transaction too.
                epoch = self.generations.epoch(scope.slot)
                if self.generations.generation(scope.slot) == generation:
                    for key, page in pages:
                        disk.set(key, _sealed(scope, key, page, expiry, epoch))
        except DiskFault as error:
            self._fault(error)

    def patch(self, scope: Scope, change: Change) -> None:
        """Tell every process that a directory changes, and change pages of it.

        ``change`` is given a function that loads a page from disk, and yields pages
        by key to be put back. Fillings asked for before this are dropped. Where the
        pages can't be changed, none of the directory's is believed any more.
        """
        self.look()
        slot = scope.slot
        self.generations.change(slot)
        disk = self._open_disk()
        if disk is None:
            if self.shared:
                self.generations.disbelieve(slot)
            return
        expiries: dict[bytes, float] = {}

        def load(key: bytes) -> Page | None:
            held = self._opened(disk.get(key), scope, key, 0)
            if held is None:
                return None
            expiries[key] = held.expiry
            return held.page

        try:
            with disk.transaction():
                self.generations.change(slot)
                epoch = self.generations.epoch(slot)
                for key, page in change(load):
                    disk.set(key, _sealed(scope, key, page, expiries[key], epoch))
            # Who read the old page just now holds it under the number before.
            self.generations.change(slot)
        except BaseException as error:
            self.generations.disbelieve(slot)
            if not isinstance(error, DiskFault):
                raise
            self._fault(error)

    def disbelieve(self, scope: Scope) -> None:
        """Forget all that is known of a directory, in every process."""
        self.look()
        self.generations.disbelieve(scope.slot)


def _sealed(scope: Scope, key: bytes, page: Page, expiry: float, epoch: int) -> bytes:
    header = _HEADER.pack(_VERSION, expiry, epoch)
    return header + scope.seal.close(page.pack(), key + header)


def _after_fork() -> None:
    for tiers in list(_all):
        tiers.after_fork()


os.register_at_fork(after_in_child=_after_fork)
