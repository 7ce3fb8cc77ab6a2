"""A write lock: one writer at a time to a directory, among several hosts."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from tahoestorage.cache.redislocks import RedisLocks
from tahoestorage.cache.redisstate import RedisUnusable
from tahoestorage.cache.turns import WriteLock
from tahoestorage.exceptions import StoreError, WriteCollision

POLL_SECONDS = 0.02
# How often the time of one holder is waited for: others may be before us.
PATIENCE = 3
# How often a lock is prolonged in the time that it outlives its holder.
BEATS = 8

Ask = Callable[[Callable[[RedisLocks], bool]], bool]
"""Has a function do something with the locks. Raises RedisFault."""


class LockQueues:
    """For each lock, the line of those threads of this process that want it.

    One of them at a time asks the Redis for it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queues: WeakValueDictionary[str, _LockQueue] = WeakValueDictionary()

    def queue(self, name: str) -> _LockQueue:
        """Return the line for the lock called ``name``."""
        with self._guard:
            return self._queues.setdefault(name, _LockQueue())


class _LockQueue:
    def __init__(self) -> None:
        self.first = threading.Lock()


class RedisWriteLock(WriteLock):
    """Holds a lock in Redis while a directory is written to.

    From the first request on a thread prolongs it. Where nobody knows whether the write
    goes on, after a StoreError or where the process ends, it stays for ``seconds``, and
    an eighth of them more at most; else it is given back. A holder takes ``longest``
    seconds for a request at most. While the Redis is away writers do without, and
    ``without`` is told.
    """

    def __init__(
        self,
        ask: Ask,
        queues: LockQueues,
        name: str,
        label: str,
        seconds: float,
        longest: float = 0.0,
        *,
        without: Callable[[str, RedisUnusable], None],
    ) -> None:
        self._ask = ask
        self._without = without
        self._queue = queues.queue(name)
        self._key = name, secrets.token_hex(16)
        self._label = label
        self._pause = seconds / BEATS
        self._seconds = seconds + self._pause
        self._patience = PATIENCE * (longest + seconds)
        self._over: threading.Event | None = None
        self._held = False
        self._sent = False
        self.lost = False

    def __enter__(self) -> Self:
        until = time.monotonic() + self._patience
        if not self._queue.first.acquire(timeout=self._patience):
            raise self._collision()
        try:
            self._take(until)
        except BaseException:
            self._queue.first.release()
            raise
        return self

    def _take(self, until: float) -> None:
        try:
            while not self._ask(lambda locks: locks.take(*self._key, self._seconds)):
                if time.monotonic() > until:
                    raise self._collision()
                time.sleep(POLL_SECONDS)
        except RedisUnusable as error:
            self._held, self.lost = False, True
            self._without(self._label, error)
        else:
            self._held = True

    def _collision(self) -> WriteCollision:
        return WriteCollision(
            f"{self._label}: other writers have held the lock for "
            f"{self._patience:.0f} seconds; try again"
        )

    def renew(self) -> None:
        if self._held:
            try:
                self._held = self._ask(
                    lambda locks: locks.keep(*self._key, self._seconds)
                )
            except RedisUnusable:
                self._held, self.lost = False, True
            else:
                if not self._held:
                    # It ended before this, and somebody else may have his turn.
                    self.lost = self.lost or self._sent
                    self._take(time.monotonic() + self._patience)
        self._sent = True
        if self._held and self._over is None:
            self._over = threading.Event()
            # Without it the lock may end too early, which is noticed.
            with contextlib.suppress(RuntimeError):
                threading.Thread(
                    target=self._prolong,
                    args=(self._over,),
                    name="tahoestorage-lock",
                    daemon=True,
                ).start()

    def _prolong(self, over: threading.Event) -> None:
        """Hold the lock on, if it is still ours, while a request takes its time."""
        while not over.wait(self._pause):
            with contextlib.suppress(RedisUnusable):
                self._ask(lambda locks: locks.keep(*self._key, self._seconds))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._over is not None:
            self._over.set()
        clear = exc_type is None or (
            issubclass(exc_type, Exception) and not issubclass(exc_type, StoreError)
        )
        try:
            if self._held and clear:
                self._held = False
                try:
                    ours = self._ask(lambda locks: locks.give_back(*self._key))
                except RedisUnusable:
                    ours = False  # Nobody knows. It ends by itself.
                self.lost = self.lost or not ours
        finally:
            self._queue.first.release()
