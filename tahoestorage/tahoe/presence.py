"""Whether a gateway is there: after a time-out it counts as away, for all threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

from tahoestorage import forks

AWAY_SECONDS = 5.0
"""For so long nobody asks a gateway that did not answer; then one thread tries."""
TRIAL_SECONDS = 3.0
"""For so long a response to that is waited for, whatever it is."""

_all: weakref.WeakValueDictionary[str, Presence] = weakref.WeakValueDictionary()
_lock = forks.Lock()


class Presence:
    """What the threads of this process know of one gateway.

    A request that is not answered in time may be slow by itself: one storage server
    that hangs is enough. So the gateway is then asked for what it answers at once,
    and counts as away only if that is not answered either.
    """

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Have nobody try it: in a child, whose other threads are gone."""
        self._trying = threading.Lock()
        self._again: float | None = None

    @classmethod
    def of(cls, base_url: str) -> Presence:
        """Return what is known of the gateway at an address, by all who use it."""
        with _lock:
            presence = _all.get(base_url)
            if presence is None:
                presence = _all[base_url] = cls()
            return presence

    def may_ask(self, responds: Callable[[], bool]) -> bool:
        """Whether the gateway is there, as far as is known.

        While it is away one thread at a time finds out, by ``responds``; the others are
        told at once that it is away.
        """
        again = self._again
        if again is None:
            return True
        if time.monotonic() >= again and self._trying.acquire(blocking=False):
            try:
                self._try(responds)
            finally:
                self._trying.release()
        return self._again is None

    def timed_out(self, responds: Callable[[], bool]) -> None:
        """Find out whether the gateway is away: a request was not answered in time."""
        if self._again is None and self._trying.acquire(blocking=False):
            try:
                self._try(responds)
            finally:
                self._trying.release()

    def _try(self, responds: Callable[[], bool]) -> None:
        there = responds()
        self._again = None if there else time.monotonic() + AWAY_SECONDS
