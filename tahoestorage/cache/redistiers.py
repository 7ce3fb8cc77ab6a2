"""The tiers of several hosts: pages in memory, and sealed in a Redis they share."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from tahoestorage import forks
from tahoestorage.cache.errors import RedisRefused, RedisUnusable
from tahoestorage.cache.generations import Generations, Snapshot
from tahoestorage.cache.memory import CachedPage, MemoryTier
from tahoestorage.cache.pages import Page, close_page, open_page
from tahoestorage.cache.redisaccess import RedisAccess
from tahoestorage.cache.redislocks import LockQueues, RedisLocks, RedisWriteLock
from tahoestorage.cache.redisstate import RedisSnapshot, RedisState
from tahoestorage.cache.revalidation import Revalidation
from tahoestorage.cache.sealing import Namespace
from tahoestorage.cache.tiers import BATCH, Edit, Tiers, is_fresh
from tahoestorage.exceptions import printable

T = TypeVar("T")
logger = logging.getLogger("tahoestorage.cache")

# Pages are kept for longer than they are believed: for when the store is away.
KEEP_SECONDS = 3600.0
ATTEMPTS = 20


class _Moved(Exception):
    """Somebody else changed the slot while it was being read."""


class RedisTiers(Tiers[Snapshot | RedisSnapshot]):
    """Pages in memory and in the Redis at ``url``, whose counters are the truth.

    Each look-up asks the Redis for the generation and, in the same request, for the
    page if memory has none: a disk would spare nothing. While the Redis is away the
    store is asked each time, and memory is for when that is away, too. Changes made
    meanwhile are told to the Redis when it is back.
    """

    # A Redis that is full takes what a change writes, and would grow without end.
    makes_pages = False

    def __init__(self, url: str, *, lifetime: float, memory_entries: int) -> None:
        self.lifetime = lifetime
        self._memory_entries = memory_entries
        self._warned_of_locks = float("-inf")
        self._redis = RedisAccess(url, lifetime)
        self._start()
        forks.register(self)

    def _start(self) -> None:
        self.memory = MemoryTier(self._memory_entries)
        self._queues = LockQueues()
        self._local = Generations(None)

    def after_fork(self) -> None:
        """Know nothing, and share no connection with the process before a fork."""
        self._redis.after_fork()
        self._start()

    def revalidate(self) -> None:
        """Return None: each page is asked for by itself."""

    @property
    def shared(self) -> bool:
        return not self._redis.is_away

    @property
    def shares_locks(self) -> bool:
        return not self._redis.is_away

    def cached(
        self,
        namespace: Namespace,
        key: bytes,
        revalidation: Revalidation | None = None,
        *,
        expired: bool = False,
        longest: float | None = None,
    ) -> CachedPage | None:
        longest = self.lifetime if longest is None else longest
        cached = self.memory.get(key)
        usable = cached if cached is not None and is_fresh(cached, longest) else None
        try:
            have = None if usable is None else usable.generation
            version, sealed = self._redis.state().read(namespace.slot, key, have)
        except RedisUnusable as error:
            self._redis.error(error)
            if not expired:
                # Others change what they like, and nobody else hears of it.
                return None
            generation = self._local.generation(namespace.slot)
        else:
            generation = version.generation
            found = open_page(namespace, key, sealed, version.epoch) if sealed else None
            if found is not None:
                cached = CachedPage(generation, *found)
                self.memory.set(key, cached)
        if cached is None or cached.generation != generation:
            return None
        return cached if expired or is_fresh(cached, longest) else None

    def in_memory(self, key: bytes, longest: float | None = None) -> CachedPage | None:
        return None

    def snapshot(self) -> Snapshot | RedisSnapshot:
        try:
            return self._redis.state().snapshot()
        except RedisUnusable as error:
            self._redis.error(error)
            return self._local.snapshot()

    def fill(
        self,
        namespace: Namespace,
        since: Snapshot | RedisSnapshot,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        if hold:
            pages = list(pages)
        generation: int | None
        if not since.of_redis:
            # Taken while the Redis was away: only for when the store is, too.
            generation = self._local.generation(namespace.slot)
            expiry = time.time()
            if generation != since.generation(namespace.slot):
                return
        else:
            try:
                state = self._redis.state()
                try:
                    generation = self._fill(
                        state, namespace, since, expiry, iter(pages)
                    )
                except RedisRefused as error:
                    self._redis.warn("takes nothing more", error)
                    generation = state.hold(since, namespace.slot)
            except RedisUnusable as error:
                self._redis.error(error)
                return
        if hold and generation is not None:
            for key, page in pages:
                self.memory.set(key, CachedPage(generation, expiry, page))

    def _fill(
        self,
        state: RedisState,
        namespace: Namespace,
        since: RedisSnapshot,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
    ) -> int | None:
        version, _ = state.read(namespace.slot, namespace.root, None)
        seconds = expiry - time.time() + KEEP_SECONDS
        generation = None
        while batch := list(itertools.islice(pages, BATCH)):
            sealed = [
                (key, close_page(namespace, key, page, expiry, version.epoch), seconds)
                for key, page in batch
            ]
            generation = state.fill(since, namespace.slot, sealed)
            if generation is None:
                return None
        return generation

    def patch(
        self, namespace: Namespace, edit: Edit, forgotten: Iterable[Namespace] = ()
    ) -> None:
        for each in forgotten:
            self.invalidate(each)
        slot = namespace.slot

        def tell(state: RedisState) -> None:
            for _ in range(ATTEMPTS):
                if self._patch(state, namespace, edit):
                    return
            state.invalidate([slot])

        self._redis.tell(slot, tell)
        self._local.invalidate(slot)

    def _patch(self, state: RedisState, namespace: Namespace, edit: Edit) -> bool:
        first, _ = state.read(namespace.slot, namespace.root, None)
        expiries: dict[bytes, float] = {}

        def load(key: bytes) -> Page | None:
            version, sealed = state.read(namespace.slot, key, None)
            if version != first:
                raise _Moved
            found = open_page(namespace, key, sealed, version.epoch) if sealed else None
            if found is None:
                return None
            expiries[key], page = found
            return page

        try:
            now = time.time()
            edited = [
                (key, page, expiries.get(key, now + self.lifetime))
                for key, page in edit(load)
            ]
            sealed = [
                (
                    key,
                    close_page(namespace, key, page, expiry, first.epoch),
                    expiry - now + KEEP_SECONDS,
                )
                for key, page, expiry in edited
            ]
        except _Moved:
            return False
        # All at once, so that no reader sees a part of it.
        return state.patch(first, namespace.slot, sealed)

    def invalidate(self, namespace: Namespace) -> None:
        slot = namespace.slot
        self._redis.tell(slot, lambda state: state.invalidate([slot]))
        self._local.invalidate(slot)

    def lock(
        self, namespace: Namespace, label: str, seconds: float, longest: float
    ) -> RedisWriteLock:
        return RedisWriteLock(
            self._ask_locks,
            self._queues,
            # What workers of older versions call it.
            namespace.key(b"turn").hex(),
            label,
            seconds,
            longest,
            without=self._without_lock,
        )

    def _ask_locks(self, do: Callable[[RedisLocks], T]) -> T:
        try:
            return self._redis.state().lock(do)
        except RedisUnusable as error:
            self._redis.error(error)
            raise

    def _without_lock(self, label: str, error: RedisUnusable) -> None:
        now = time.monotonic()
        if now - self._warned_of_locks > self.lifetime:
            self._warned_of_locks = now
            logger.warning(
                "%s is written without a lock, for the Redis is away (%s). Two "
                "gateways that write to a directory now disturb each other.",
                printable(label),
                error,
            )
