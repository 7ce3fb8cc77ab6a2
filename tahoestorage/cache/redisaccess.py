"""Access to Redis: not asked while it fails, and told then of the changes it missed."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable

from tahoestorage.cache.errors import RedisAway, RedisRefused, RedisUnusable
from tahoestorage.cache.redisstate import RedisState

logger = logging.getLogger("tahoestorage.cache")

# For so long nobody asks it, where the thread that tries again can't run.
AWAY_SECONDS = 2.0
# That thread's pauses.
SHORTEST, LONGEST = 0.05, 1.0
# How many slots are told of in one request.
BATCH = 1000

_all: weakref.WeakSet[RedisAccess] = weakref.WeakSet()


class RedisAccess:
    """A RedisState, or none while the Redis is away.

    Once it has failed one thread it is away for all of them. A thread of its own tries
    it until it is back, and first tells it of all that was changed meanwhile. One
    warning in a ``lifetime`` (seconds) says that it is away.
    """

    def __init__(self, url: str, lifetime: float) -> None:
        self._url = url
        self._lifetime = lifetime
        self._warned = float("-inf")
        self.after_fork()
        _all.add(self)

    def after_fork(self) -> None:
        """Share no connection, lock or thread with the process before a fork."""
        self._guard = threading.Lock()
        self._trying = threading.Lock()
        self._state = RedisState(self._url)
        self._again: float | None = None
        self._unsent: set[int] = set()
        self._thread: threading.Thread | None = None
        self.refuses = False
        """Whether it is there, and does not let itself be written to."""

    @property
    def is_away(self) -> bool:
        """Whether nobody is asked by now."""
        return self._again is not None

    def state(self) -> RedisState:
        """Return the state. Raises RedisUnusable while the Redis is away."""
        again = self._again
        if again is not None and (time.monotonic() < again or not self._return()):
            raise RedisAway("it was away just now")
        return self._state

    def error(self, error: RedisUnusable, slot: int | None = None) -> None:
        """Note that it has failed, and whether it still has to hear of a change."""
        if isinstance(error, RedisAway):
            return
        with self._guard:
            if slot is not None:
                self._unsent.add(slot)
                if not isinstance(error, RedisRefused):
                    self._state.leave_word(slot)
            self._again = time.monotonic() + AWAY_SECONDS
            self.refuses = isinstance(error, RedisRefused)
            if self._thread is None:
                thread = threading.Thread(
                    target=_until_it_is_back,
                    args=(weakref.ref(self),),
                    name="tahoestorage-redis",
                    daemon=True,
                )
                # Without it, whoever comes after AWAY_SECONDS tries it.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread
        self.warn("can't be used", error)

    def warn(self, trouble: str, error: RedisUnusable) -> None:
        """Log what is the matter with it, once in a lifetime."""
        now = time.monotonic()
        if now - self._warned > self._lifetime:
            self._warned = now
            logger.warning(
                "The cache in Redis %s (%s). Everything works without it, slower; what "
                "a host writes that can't reach it, others may see late by %g s.",
                trouble,
                error,
                self._lifetime,
            )

    def tell(self, slot: int, do: Callable[[RedisState], None]) -> bool:
        """Have ``do`` tell of a change in a slot, and return whether it could.

        A Redis that refuses it is believed by nobody any more when this returns; one
        that can't be reached hears of it when it is back.
        """
        while True:
            try:
                # It refuses in no time, or does it again.
                state = self._state if self.refuses else self.state()
                try:
                    do(state)
                except RedisRefused as error:
                    self.error(error, slot)
                    time.sleep(max(0.0, state.distrust() - time.monotonic()))
                    return False
                with contextlib.suppress(RedisUnusable):
                    state.prepare()
                return True
            except RedisAway:
                with self._guard:
                    if self._again is not None:
                        self._unsent.add(slot)
                        self._state.leave_word(slot)
                        return False
            except RedisUnusable as error:
                self.error(error, slot)
                return False

    def _return(self) -> bool:
        """Try to come back; False where another thread does so just now."""
        if not self._trying.acquire(blocking=False):
            return False
        try:
            with self._guard:
                self._again = time.monotonic() + AWAY_SECONDS
            self._state.snapshot()
            while self._tell_some():
                pass
        except RedisRefused:
            if self._unsent:
                self._state.distrust()
            raise
        finally:
            self._trying.release()
        return True

    def _tell_some(self) -> bool:
        """Tell of some changes; False where there were none, so that it is back."""
        with self._guard:
            some = list(itertools.islice(self._unsent, BATCH))
            self._unsent.difference_update(some)
            if not some:
                self._state.dismiss()
                self._again, self.refuses = None, False
                return False
        try:
            self._state.invalidate(some)
        except BaseException:
            with self._guard:
                self._unsent.update(some)
            raise
        return True

    def try_again(self) -> bool:
        """Try to come back, in the thread for that; False when there is no need."""
        with contextlib.suppress(RedisUnusable):
            self._return()
        with self._guard:
            if self._again is not None:
                return True
            self._thread = None
            return False

    def finish(self) -> None:
        """Tell of what is left, before the process ends."""
        if self._unsent:
            with contextlib.suppress(RedisUnusable):
                self._return()


def _until_it_is_back(access: weakref.ref[RedisAccess]) -> None:
    pause = SHORTEST
    while True:
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
        here = access()
        if here is None or not here.try_again():
            return
        del here


@atexit.register
def _finish() -> None:
    for access in list(_all):
        access.finish()
