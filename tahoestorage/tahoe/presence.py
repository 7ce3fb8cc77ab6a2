"""Whether a gateway responds: after a time-out it counts as away, for all threads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable
from urllib.parse import urlsplit

from tahoestorage import forks

AWAY_SECONDS = 5.0
"""Seconds for which an unresponsive gateway gets no requests; then one thread tries."""
PROBE_SECONDS = 3.0
"""Seconds to wait for the response to that try, whatever it is."""

_all: weakref.WeakValueDictionary[str, Presence] = weakref.WeakValueDictionary()
_lock = forks.Lock()


class Presence:
    """Whether one gateway responds, shared by the threads of this process.

    A request may time out although the gateway is well: one storage server that hangs
    is enough. So the gateway is then asked for its status, which needs no server, and
    counts as away only if that times out too.
    """

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child, where the other threads are gone."""
        self._trying = threading.Lock()
        self._retry_at: float | None = None

    @classmethod
    def of(cls, base_url: str) -> Presence:
        """Return the one Presence in this process of the gateway at ``base_url``."""
        with _lock:
            presence = _all.get(base_url)
            if presence is None:
                presence = _all[base_url] = cls()
            return presence

    def may_ask(self, responds: Callable[[], bool]) -> bool:
        """Whether a request may be sent: False while the gateway counts as away.

        After ``AWAY_SECONDS`` one thread tries it, by ``responds``; the others get
        False at once.
        """
        again = self._retry_at
        if again is None:
            return True
        if time.monotonic() >= again and self._trying.acquire(blocking=False):
            try:
                self._try(responds)
            finally:
                self._trying.release()
        return self._retry_at is None

    def timed_out(self, responds: Callable[[], bool]) -> None:
        """After a time-out, find out by ``responds`` whether the gateway is away."""
        if self._retry_at is None and self._trying.acquire(blocking=False):
            try:
                self._try(responds)
            finally:
                self._trying.release()

    def _try(self, responds: Callable[[], bool]) -> None:
        there = responds()
        self._retry_at = None if there else time.monotonic() + AWAY_SECONDS


def is_stopped(base_url: str) -> bool:
    """Whether nothing listens at the gateway's address: connections are refused.

    One that hangs, or can't be reached, may still be at what it was asked. Raises
    nothing.
    """
    url = urlsplit(base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        address = url.hostname or "", port
        with contextlib.closing(
            socket.create_connection(address, PROBE_SECONDS, all_errors=True)
        ):
            return False
    except OSError:
        return False
    except ExceptionGroup as errors:
        return all(
            isinstance(each, ConnectionRefusedError) for each in errors.exceptions
        )
