"""The tiers of several hosts: pages in a Redis, read ones in memory."""

from __future__ import annotations

import itertools
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable

from tahoestorage.cache.generations import Generations, Snapshot
from tahoestorage.cache.locks import Lines, LockedTurn
from tahoestorage.cache.memory import Held, MemoryTier
from tahoestorage.cache.pages import Page
from tahoestorage.cache.records import close_page, open_page
from tahoestorage.cache.redisaccess import RedisAccess
from tahoestorage.cache.redislocks import RedisLocks
from tahoestorage.cache.redisstate import (
    RedisFault,
    RedisRefused,
    RedisSnapshot,
    RedisState,
)
from tahoestorage.cache.sealing import Scope
from tahoestorage.cache.tiers import BATCH, UNSHARED_SECONDS, Change, fresh
from tahoestorage.exceptions import printable

logger = logging.getLogger("tahoestorage.cache")

# Pages are kept for longer than they are believed: for when the store is away.
KEEP_SECONDS = 3600.0
ATTEMPTS = 20

_all: weakref.WeakSet[RedisTiers] = weakref.WeakSet()


class _Moved(Exception):
    """Somebody else changed the slot while it was being read."""


class RedisTiers:
    """Does what Tiers do, for several hosts: the Redis at ``url`` has the truth.

    Each use asks it for the generation, and in the same request for the page if memory
    has none: a disk would spare nothing. While it is away all works as without a
    cache, but for what is 2 s old; what is written meanwhile is told it afterwards.
    """

    def __init__(self, url: str, *, lifetime: float, memory_entries: int) -> None:
        self.lifetime = lifetime
        self._memory_entries = memory_entries
        self._warned_of_locks = float("-inf")
        self._redis = RedisAccess(url, lifetime)
        self._start()
        _all.add(self)

    def _start(self) -> None:
        self.memory = MemoryTier(self._memory_entries)
        self._lines = Lines()
        self._local = Generations(None)

    def start(self) -> None:
        """Know nothing, and share no connection with the process before a fork."""
        self._redis.start()
        self._start()

    @property
    def shared(self) -> bool:
        """Whether other processes tell this one what they change."""
        return not self._redis.is_away

    def page(
        self,
        scope: Scope,
        key: bytes,
        *,
        expired: bool = False,
        longest: float | None = None,
    ) -> Page | None:
        """Return the page at ``key`` if it is known; an old one too, if ``expired``.

        It was kept for a lifetime, or for ``longest`` seconds, at most.
        """
        longest = self.lifetime if longest is None else longest
        held = self.memory.get(key)
        usable = held if held is not None and fresh(held, longest) else None
        try:
            known = None if usable is None else usable.generation
            version, sealed = self._redis.state().read(scope.slot, key, known)
        except RedisFault as error:
            self._redis.fault(error)
            if self._redis.refuses and not expired:
                # Others change what they like, and nobody else hears of it.
                return None
            generation = self._local.generation(scope.slot)
        else:
            generation = version.generation
            found = open_page(scope, key, sealed, version.epoch) if sealed else None
            if found is not None:
                held = Held(generation, *found)
                self.memory.set(key, held)
        if held is None or held.generation != generation:
            return None
        return held.page if expired or fresh(held, longest) else None

    def snapshot(self) -> Snapshot | RedisSnapshot:
        """Note how things are, before the store is asked."""
        try:
            return self._redis.state().snapshot()
        except RedisFault as error:
            self._redis.fault(error)
            return self._local.snapshot()

    def fill(
        self,
        scope: Scope,
        since: int | RedisSnapshot,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        """Keep pages, unless something was changed since. Failing is silent."""
        if hold:
            pages = list(pages)
        generation: int | None
        if isinstance(since, int):
            generation = self._local.generation(scope.slot)
            expiry = min(expiry, time.time() + UNSHARED_SECONDS)
            if generation != since:
                return
        else:
            try:
                state = self._redis.state()
                try:
                    generation = self._fill(state, scope, since, expiry, iter(pages))
                except RedisRefused as error:
                    self._redis.warn("takes nothing more", error)
                    generation = state.hold(since, scope.slot)
            except RedisFault as error:
                self._redis.fault(error)
                return
        if hold and generation is not None:
            for key, page in pages:
                self.memory.set(key, Held(generation, expiry, page))

    def _fill(
        self,
        state: RedisState,
        scope: Scope,
        since: RedisSnapshot,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
    ) -> int | None:
        version, _ = state.read(scope.slot, scope.root, None)
        seconds = expiry - time.time() + KEEP_SECONDS
        generation = None
        while batch := list(itertools.islice(pages, BATCH)):
            sealed = [
                (key, close_page(scope, key, page, expiry, version.epoch), seconds)
                for key, page in batch
            ]
            generation = state.fill(since, scope.slot, sealed)
            if generation is None:
                return None
        return generation

    def patch(self, scope: Scope, change: Change) -> None:
        """Tell every host that a directory changes, and change pages of it.

        As ``Tiers.patch``; all at once, so that no reader sees a part of it.
        """
        slot = scope.slot

        def tell(state: RedisState) -> None:
            for _ in range(ATTEMPTS):
                if self._patch(state, scope, change):
                    return
            state.disbelieve([slot])

        self._redis.tell(slot, tell)
        self._local.disbelieve(slot)

    def _patch(self, state: RedisState, scope: Scope, change: Change) -> bool:
        first, _ = state.read(scope.slot, scope.root, None)
        expiries: dict[bytes, float] = {}

        def load(key: bytes) -> Page | None:
            version, sealed = state.read(scope.slot, key, None)
            if version != first:
                raise _Moved
            found = open_page(scope, key, sealed, version.epoch) if sealed else None
            if found is None:
                return None
            expiries[key], page = found
            return page

        try:
            now = time.time()
            sealed = [
                (
                    key,
                    close_page(scope, key, page, expiries[key], first.epoch),
                    expiries[key] - now + KEEP_SECONDS,
                )
                for key, page in change(load)
            ]
        except _Moved:
            return False
        return state.patch(first, scope.slot, sealed)

    def disbelieve(self, scope: Scope) -> None:
        """Forget all that is known of a directory, in every process of every host."""
        slot = scope.slot
        self._redis.tell(slot, lambda state: state.disbelieve([slot]))
        self._local.disbelieve(slot)

    def turn(
        self, scope: Scope, what: str, seconds: float, longest: float
    ) -> LockedTurn:
        """Return the turn at writing to a directory: see LockedTurn."""
        return LockedTurn(
            self._ask_locks,
            self._lines,
            scope.key(b"turn").hex(),
            what,
            seconds,
            longest,
            without=self._without_lock,
        )

    def _ask_locks(self, do: Callable[[RedisLocks], bool]) -> bool:
        try:
            return self._redis.state().lock(do)
        except RedisFault as error:
            self._redis.fault(error)
            raise

    def _without_lock(self, what: str, error: RedisFault) -> None:
        now = time.monotonic()
        if now - self._warned_of_locks > self.lifetime:
            self._warned_of_locks = now
            logger.warning(
                "%s is written without a lock, for the Redis is away (%s). Two "
                "gateways that write to a directory now disturb each other.",
                printable(what),
                error,
            )


def _in_child() -> None:
    for tiers in list(_all):
        tiers.start()


os.register_at_fork(after_in_child=_in_child)
