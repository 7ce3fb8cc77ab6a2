"""Whether a gateway responds: after a time-out it counts as away, for all threads."""

from __future__ import annotations

import errno
import ipaddress
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

    One that hangs, or can't be reached, may still be at what it was asked. An address
    of loopback that this host does not have, as ``::1`` without IPv6, can't be its.
    Raises nothing.
    """
    url = urlsplit(base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(url.hostname or "", port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    refused = False
    for family, _, _, _, address in found:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(PROBE_SECONDS)
                probe.connect(address)
        except ConnectionRefusedError:
            refused = True
        except OSError:
            if not _is_missing_loopback(family, str(address[0])):
                return False
        else:
            return False
    return refused


def _is_missing_loopback(family: int, address: str) -> bool:
    # An error to connect may mean less, as that no port is left for another connection.
    if not ipaddress.ip_address(address).is_loopback:
        return False
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return False
