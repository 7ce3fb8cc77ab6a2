"""The tiers of one host: pages in memory, and sealed on a disk that processes share."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tahoestorage import forks
from tahoestorage.cache.disk import DiskTier, private_directory
from tahoestorage.cache.diskaccess import DiskAccess, gate
from tahoestorage.cache.errors import DiskError
from tahoestorage.cache.generations import SETTLED_SECONDS, Generations, Snapshot
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.memory import CachedPage, MemoryTier
from tahoestorage.cache.pages import Page, close_page, open_page
from tahoestorage.cache.readonly import announce
from tahoestorage.cache.revalidation import Revalidation
from tahoestorage.cache.sealing import Namespace
from tahoestorage.cache.tiers import BATCH, UNSHARED_SECONDS, Edit, Tiers, is_fresh

LOOK_SECONDS = 0.5


class LocalTiers(Tiers[Snapshot]):
    """Pages in memory and, where there is a ``directory``, on disk.

    Everything here works without the disk: whatever fails there is logged once in
    a ``lifetime`` and costs requests, and the other processes of the host, which
    may still read from it, are told through the generations not to believe it.
    """

    makes_pages = True
    shares_locks = False

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
        self._memory_entries = memory_entries
        self._access = DiskAccess(directory, size_limit, lifetime)
        self.generations = Generations(None)
        # Generation and epoch by slot, as they were under a header of the counters.
        self._numbers: tuple[bytes, dict[int, tuple[int, int]]] = b"", {}
        # While this process can only read the counters: whether it changed something
        # meanwhile, the lock that announces it, and from when on all have noticed.
        self._has_unshared_changes = False
        self._announcement: int | None = None
        self._noticed = float("-inf")
        # When everybody has noticed that the files of this process were removed.
        self._settled = float("-inf")
        self._start()
        forks.register(self)

    def after_fork(self) -> None:
        """Share nothing with the parent but files."""
        self._start()

    def _start(self) -> None:
        """Forget all, and open the shared files anew."""
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._is_doubtful = False
        self._access.reset()
        anew = self.generations.is_outdated()
        self.generations = Generations(None)
        self.memory = MemoryTier(self._memory_entries)
        self._share(anew=anew)

    def _share(self, *, anew: bool = False) -> None:
        if self._directory is not None:
            try:
                private_directory(self._directory)
                path = self._directory / "generations"
                counters = Generations(path, anew=anew)
                if self._has_unshared_changes:
                    counters.invalidate_all()
                    self._has_unshared_changes = False
                if self._announcement is not None:
                    os.close(self._announcement)
                    self._announcement = None
                self._heed_read_only(counters)
                self.generations = counters
                self._access.reset()
            except (DiskError, OSError) as error:
                self._access.warn("can't be used", error)

    def _heed_read_only(self, counters: Generations) -> None:
        """Invalidate all whenever a process comes or goes that can only read.

        What it changes nobody is told. Raises OSError.
        """
        doubtful = counters.is_doubtful()
        if doubtful != self._is_doubtful:
            counters.invalidate_all()
            self.memory = MemoryTier(self._memory_entries)
            self._is_doubtful = doubtful

    @property
    def _tells(self) -> bool:
        """Whether this process tells others what it changes."""
        return self.generations.path is not None

    @property
    def shared(self) -> bool:
        return self._tells and not self._is_doubtful

    def _is_current(self) -> bool:
        return self.generations.is_current() and self._access.is_current()

    def snapshot(self) -> Snapshot:
        return self.generations.snapshot()

    def look(self) -> None:
        """Check the shared files: start anew where they were removed or replaced."""
        self._looked = time.monotonic()
        outdated = self.generations.is_outdated
        doubtful = self.generations.is_doubtful
        if (
            self._tells
            and self._is_current()
            and not outdated()
            and doubtful() == self._is_doubtful
        ):
            return
        with self._lock:
            if not self._is_current() or outdated():
                self._settled = time.monotonic() + SETTLED_SECONDS
                self._start()
            elif not self._tells:
                self._share()
            else:
                try:
                    self._heed_read_only(self.generations)
                except OSError as error:
                    self._stop_sharing(error)

    def _look_again(self) -> None:
        """Look, unless that was done just now."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self.look()

    def _stop_sharing(self, error: OSError) -> None:
        """Share nothing more: what this process changes the others would not know."""
        self._access.warn("can't be told of changes", error)
        self._has_unshared_changes = True
        self.generations = Generations(None)
        self.memory = MemoryTier(self._memory_entries)

    def _announce(self) -> None:
        """Where this process can't tell the others what it changes, tell them that."""
        if self._tells or self._directory is None:
            return
        self._has_unshared_changes = True
        if self._announcement is None:
            self._announcement = announce(self._directory / "generations")
            self._noticed = time.monotonic() + LOOK_SECONDS + 0.1
        left = self._noticed - time.monotonic()
        if self._announcement is not None and left > 0:
            time.sleep(min(left, 1.0))

    def _settle(self) -> None:
        """Wait until no process uses files any more that somebody has removed.

        Those who do hear of no change. They all look at the files within half a second.
        """
        left = self._settled - time.monotonic()
        if left > 0:
            time.sleep(left)

    def revalidate(self) -> Revalidation:
        self._look_again()
        return Revalidation(self.generations)

    def cached(
        self,
        namespace: Namespace,
        key: bytes,
        revalidation: Revalidation | None = None,
        *,
        expired: bool = False,
        longest: float | None = None,
    ) -> CachedPage | None:
        if longest is None:
            longest = self.lifetime
        if revalidation is None:
            revalidation = self.revalidate()
        cached = self.memory.get(key)
        if cached is not None and not revalidation.holds(namespace.slot, cached):
            cached = None
        if cached is None or not is_fresh(cached, longest):
            found = self._from_disk(namespace, key, revalidation)
            if found is not None:
                self.memory.set(key, found)
                cached = found
            if cached is None or not (expired or is_fresh(cached, longest)):
                return None
        revalidation.note(namespace.slot, cached)
        return cached

    def in_memory(self, key: bytes, longest: float | None = None) -> CachedPage | None:
        self._look_again()
        # Read before the page is taken: what changes that after it changes this, too.
        header = self.generations.header()
        found = self.memory.get(key)
        # A page has a header only if that vouches for all numbers.
        if found is None or not found.header or found.header != header:
            return None
        longest = self.lifetime if longest is None else longest
        return found if is_fresh(found, longest) else None

    def _from_disk(
        self, namespace: Namespace, key: bytes, revalidation: Revalidation
    ) -> CachedPage | None:
        if not self.shared:
            return None
        generation, epoch = self._numbers_of(namespace.slot, revalidation)
        with gate:
            disk = self._access.tier()
            if disk is None:
                return None
            try:
                sealed = disk.get(key)
            except DiskError as error:
                self._access.error(error)
                return None
        found = open_page(namespace, key, sealed, epoch) if sealed else None
        if found is None:
            return None
        expiry, page = found
        return CachedPage(generation, expiry, page, revalidation.header)

    def _numbers_of(self, slot: int, revalidation: Revalidation) -> tuple[int, int]:
        """Return a directory's generation and epoch, read once under each header."""
        header, numbers = self._numbers
        if not revalidation.header or header != revalidation.header:
            header, numbers = revalidation.header, {}
            self._numbers = header, numbers
        found = numbers.get(slot)
        if found is None:
            counters = revalidation.generations
            # In this order: who invalidates changes the generation after the epoch.
            found = counters.generation(slot), counters.epoch(slot)
            numbers[slot] = found
        return found

    def fill(
        self,
        namespace: Namespace,
        since: Snapshot,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        generation = since.generation(namespace.slot)
        if hold:
            pages = list(pages)
            if not self.shared:
                expiry = min(expiry, time.time() + UNSHARED_SECONDS)
            for key, page in pages:
                self.memory.set(key, CachedPage(generation, expiry, page))
        if not self.shared:
            return
        epoch = self.generations.epoch(namespace.slot)
        rest = iter(pages)
        while batch := list(itertools.islice(rest, BATCH)):
            sealed = [
                (key, close_page(namespace, key, page, expiry, epoch))
                for key, page in batch
            ]
            if not self._store(namespace, generation, sealed):
                return

    def _store(
        self, namespace: Namespace, generation: int, sealed: list[tuple[bytes, bytes]]
    ) -> bool:
        """Keep these on disk; return False where they, and those after, are not."""
        with gate:
            disk = self._access.tier()
            if disk is None:
                return False
            try:
                with disk.transaction():
                    # Whoever changes something does so in a transaction too.
                    if self.generations.generation(namespace.slot) != generation:
                        return False
                    for key, value in sealed:
                        disk.set(key, value)
                self._access.worked()
            except DiskError as error:
                self._access.error(error)
                return False
        return True

    def patch(
        self, namespace: Namespace, edit: Edit, forgotten: Iterable[Namespace] = ()
    ) -> None:
        def note() -> None:
            for each in forgotten:
                self.generations.invalidate(each.slot)
            with gate:
                disk = self._access.tier() if self.shared else None
                self._patch(disk, namespace, edit)

        self._tell(note)

    def _tell(self, note: Callable[[], None]) -> None:
        """Have something noted in the counters that all others look at.

        One look at the files is enough, after it: where they were replaced meanwhile,
        or before, it is noted once more. Whatever else a look may find is noticed in
        time, as it is by those who only read.
        """
        if not self._tells:
            self.look()
        self._look_again()
        while True:
            self._settle()
            counters = self.generations
            try:
                note()
            except OSError as error:
                self._stop_sharing(error)
                continue
            if counters is self.generations and self._is_current():
                self._announce()
                return
            # Somebody removed the files meanwhile: others may have made new ones.
            self.look()

    def _patch(self, disk: DiskTier | None, namespace: Namespace, edit: Edit) -> None:
        slot = namespace.slot
        self.generations.change(slot)
        if disk is None:
            self.generations.invalidate(slot)
            return
        expiries: dict[bytes, float] = {}
        new = time.time() + self.lifetime

        def load(key: bytes) -> Page | None:
            sealed = disk.get(key)
            found = open_page(namespace, key, sealed, epoch) if sealed else None
            if found is not None:
                expiries[key], page = found
                return page
            if sealed:
                # Whoever can read it, in another version of this, must not.
                disk.set(key, b"")
            return None

        try:
            with disk.transaction():
                self.generations.change(slot)
                epoch = self.generations.epoch(slot)
                for key, page in edit(load):
                    expiry = expiries.get(key, new)
                    disk.set(key, close_page(namespace, key, page, expiry, epoch))
            self._access.worked()
            # Who read the old page just now holds it under the number before.
            self.generations.change(slot)
        except BaseException as error:
            self.generations.invalidate(slot)
            if not isinstance(error, DiskError):
                raise
            self._access.error(error)

    def invalidate(self, namespace: Namespace) -> None:
        self._tell(lambda: self.generations.invalidate(namespace.slot))

    def lock(
        self, namespace: Namespace, label: str, seconds: float, longest: float
    ) -> WriteLock:
        return WriteLock()
