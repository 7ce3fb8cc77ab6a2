"""A turn at writing: one writer at a time to a directory, among several hosts."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Self

import redis

from tahoestorage.cache.turns import Turn
from tahoestorage.exceptions import StoreError, WriteCollision, printable

logger = logging.getLogger("tahoestorage.cache")


class LockedTurn(Turn):
    """Holds a lock in Redis while a directory is written to.

    It ends by itself ``seconds`` after ``renew``, and is not given back where nobody
    knows whether the write goes on: after a StoreError, or where the process ends.
    While the Redis is away writers do without, and one warning says so.
    """

    def __init__(self, lock: Any, what: str, seconds: float) -> None:
        self._lock = lock
        self._what = what
        self._seconds = seconds
        self._held = False

    def __enter__(self) -> Self:
        try:
            self._held = self._lock.acquire()
        except (redis.RedisError, OSError):
            logger.warning(
                "%s is written without a lock, for the Redis is away. Two gateways "
                "that write to it now disturb each other.",
                printable(self._what),
            )
            return self
        if not self._held:
            raise WriteCollision(
                f"{self._what}: another writer has held the lock for "
                f"{self._seconds:.0f} seconds; try again"
            )
        return self

    def renew(self) -> None:
        if self._held:
            try:
                self._lock.reacquire()
            except redis.exceptions.LockError:
                # It ended before this, and somebody else may have his turn.
                self._held = False
                self.__enter__()
            except (redis.RedisError, OSError):
                self._held = False

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        clear = exc_type is None or (
            issubclass(exc_type, Exception) and not issubclass(exc_type, StoreError)
        )
        if self._held and clear:
            try:
                self._lock.release()
            except (redis.RedisError, OSError):
                # It ends by itself.
                logger.debug(
                    "The lock on %s was not given back.", printable(self._what)
                )
