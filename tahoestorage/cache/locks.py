"""A turn at writing: one writer at a time to a directory, among several hosts."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from tahoestorage.cache.redislocks import RedisLocks
from tahoestorage.cache.redisstate import RedisFault
from tahoestorage.cache.turns import Turn
from tahoestorage.exceptions import StoreError, WriteCollision

POLL_SECONDS = 0.02
# How often the time of one holder is waited for: others may be before us.
PATIENCE = 3

Ask = Callable[[Callable[[RedisLocks], bool]], bool]
"""Has a function do something with the locks. Raises RedisFault."""


class Lines:
    """For each lock, the line of those threads of this process that want it.

    One of them at a time asks the Redis for it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()

    def line(self, name: str) -> _Line:
        """Return the line for the lock called ``name``."""
        with self._guard:
            return self._lines.setdefault(name, _Line())


class _Line:
    def __init__(self) -> None:
        self.first = threading.Lock()


class LockedTurn(Turn):
    """Holds a lock in Redis while a directory is written to.

    It ends by itself ``seconds`` after it was last renewed, and is not given back where
    nobody knows whether the write goes on: after a StoreError, or where the process
    ends. While the Redis is away writers do without, and ``without`` is told.
    """

    def __init__(
        self,
        ask: Ask,
        lines: Lines,
        name: str,
        what: str,
        seconds: float,
        *,
        without: Callable[[str, RedisFault], None],
    ) -> None:
        self._ask = ask
        self._without = without
        self._line = lines.line(name)
        self._key = name, secrets.token_hex(16)
        self._what = what
        self._seconds = seconds
        self._held = False
        self._sent = False
        self.lost = False

    def __enter__(self) -> Self:
        until = time.monotonic() + PATIENCE * self._seconds
        if not self._line.first.acquire(timeout=PATIENCE * self._seconds):
            raise self._collision()
        try:
            self._take(until)
        except BaseException:
            self._line.first.release()
            raise
        return self

    def _take(self, until: float) -> None:
        try:
            while not self._ask(lambda locks: locks.take(*self._key, self._seconds)):
                if time.monotonic() > until:
                    raise self._collision()
                time.sleep(POLL_SECONDS)
        except RedisFault as error:
            self._held, self.lost = False, True
            self._without(self._what, error)
        else:
            self._held = True

    def _collision(self) -> WriteCollision:
        return WriteCollision(
            f"{self._what}: other writers have held the lock for "
            f"{PATIENCE * self._seconds:.0f} seconds; try again"
        )

    def renew(self) -> None:
        if self._held:
            try:
                self._held = self._ask(
                    lambda locks: locks.keep(*self._key, self._seconds)
                )
            except RedisFault:
                self._held, self.lost = False, True
            else:
                if not self._held:
                    # It ended before this, and somebody else may have his turn.
                    self.lost = self.lost or self._sent
                    self._take(time.monotonic() + PATIENCE * self._seconds)
        self._sent = True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        clear = exc_type is None or (
            issubclass(exc_type, Exception) and not issubclass(exc_type, StoreError)
        )
        try:
            if self._held and clear:
                self._held = False
                try:
                    ours = self._ask(lambda locks: locks.give_back(*self._key))
                except RedisFault:
                    ours = False  # Nobody knows. It ends by itself.
                self.lost = self.lost or not ours
        finally:
            self._line.first.release()
