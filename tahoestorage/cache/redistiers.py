"""The tiers of several hosts: pages in a Redis, read ones in memory."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable

from tahoestorage.cache.generations import Generations, Snapshot
from tahoestorage.cache.locks import Lines, LockedTurn
from tahoestorage.cache.memory import Held, MemoryTier
from tahoestorage.cache.pages import Page
from tahoestorage.cache.records import close_page, open_page
from tahoestorage.cache.redislocks import RedisLocks
from tahoestorage.cache.redisstate import RedisFault, RedisSnapshot, RedisState
from tahoestorage.cache.sealing import Scope
from tahoestorage.cache.tiers import BATCH, UNSHARED_SECONDS, Change, fresh
from tahoestorage.exceptions import printable

logger = logging.getLogger("tahoestorage.cache")

AWAY_SECONDS = 1.0
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
        self._url = url
        self._memory_entries = memory_entries
        self._warned = self._warned_of_locks = float("-inf")
        self.start()
        _all.add(self)

    def start(self) -> None:
        """Know nothing, and share no connection with the process before a fork."""
        self._lock = threading.Lock()
        self.memory = MemoryTier(self._memory_entries)
        self._state = RedisState(self._url)
        self._lines = Lines()
        self._local = Generations(None)
        self._again: float | None = None
        self._untold: set[int] = set()

    @property
    def shared(self) -> bool:
        """Whether other processes tell this one what they change."""
        return self._again is None

    def _present(self) -> RedisState:
        """Return the state, told of all that was written while it was away."""
        if self._again is not None:
            with self._lock:
                if self._again is not None:
                    if time.monotonic() < self._again:
                        raise RedisFault("it was away just now")
                    self._again = time.monotonic() + AWAY_SECONDS
                    self._state.snapshot()
                    self._tell()
                    self._again = None
        return self._state

    def _tell(self) -> None:
        untold = list(self._untold)
        for start in range(0, len(untold), 1000):
            some = untold[start : start + 1000]
            self._state.disbelieve(some)
            self._untold.difference_update(some)

    def _away(self, error: RedisFault) -> None:
        self._again = self._again or time.monotonic() + AWAY_SECONDS
        now = time.monotonic()
        if now - self._warned > self.lifetime:
            self._warned = now
            logger.warning(
                "The cache in Redis can't be used (%s). Everything works without it, "
                "slower; what this host writes meanwhile, others may see late by %g s.",
                error,
                self.lifetime,
            )

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
            version, sealed = self._present().read(scope.slot, key, known)
        except RedisFault as error:
            self._away(error)
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
            return self._present().snapshot()
        except RedisFault as error:
            self._away(error)
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
                generation = self._fill(scope, since, expiry, iter(pages))
            except RedisFault as error:
                self._away(error)
                return
        if hold and generation is not None:
            for key, page in pages:
                self.memory.set(key, Held(generation, expiry, page))

    def _fill(
        self,
        scope: Scope,
        since: RedisSnapshot,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
    ) -> int | None:
        state = self._present()
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
        try:
            for _ in range(ATTEMPTS):
                if self._patch(scope, change):
                    return
            self._present().disbelieve([slot])
        except RedisFault as error:
            self._untold.add(slot)
            self._local.disbelieve(slot)
            self._away(error)

    def _patch(self, scope: Scope, change: Change) -> bool:
        state = self._present()
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
        try:
            self._present().disbelieve([scope.slot])
        except RedisFault as error:
            self._untold.add(scope.slot)
            self._away(error)
        self._local.disbelieve(scope.slot)

    def turn(self, scope: Scope, what: str, seconds: float) -> LockedTurn:
        """Return the turn at writing to a directory, for ``seconds`` at most."""
        return LockedTurn(
            self._ask_locks,
            self._lines,
            scope.key(b"turn").hex(),
            what,
            seconds,
            without=self._without_lock,
        )

    def _ask_locks(self, do: Callable[[RedisLocks], bool]) -> bool:
        try:
            return self._present().lock(do)
        except RedisFault as error:
            self._away(error)
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
