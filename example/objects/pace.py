"""Senders that are too slow, or have stopped: none holds a thread for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import IO

from django.conf import settings

INTERVAL = 0.5  # seconds between two looks
# Bytes of one read: small, so that what a slow sender sends is seen to come.
PIECE = 1 << 15


class TooSlow(Exception):
    """The sender was cut off: too few bytes came in the time."""


class WatchedStream:
    """A body that is read from a connection; see ``watched``."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting_since: float | None = None
        self._waited = 0.0
        self.taken = 0
        self.is_slow = False

    @property
    def waited(self) -> float:
        """Seconds in which bytes were waited for; the store's own time is none."""
        since = self._waiting_since
        return self._waited + (0 if since is None else time.monotonic() - since)

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer at the end; raises TooSlow."""
        found = bytearray()
        while len(found) < size:
            self._waiting_since = time.monotonic()
            piece = self._stream.read(min(size - len(found), PIECE))
            self._waited, self._waiting_since = self.waited, None
            if self.is_slow:
                raise TooSlow(f"{self.taken} bytes came in {self.waited:.0f} seconds.")
            if not piece:
                break
            found += piece
            self.taken += len(piece)
        return bytes(found)


@contextlib.contextmanager
def watched(
    stream: IO[bytes], connection: socket.socket | None
) -> Iterator[WatchedStream]:
    """Yield a stream whose sender is watched within the block.

    Where fewer than ``UPLOAD_MIN_RATE`` bytes a second came in ``UPLOAD_PATIENCE``
    seconds of waiting, reading raises TooSlow: the connection's reading side is shut,
    so that a read under way ends, and a response can still be sent. Without a
    connection, as in tests within a process, nobody is watched.
    """
    found = WatchedStream(stream)
    if connection is None:
        yield found
        return
    done = threading.Event()

    def watch() -> None:
        waited, taken = 0.0, 0
        while not done.wait(INTERVAL):
            now = found.waited
            if now - waited < settings.UPLOAD_PATIENCE:
                continue
            if found.taken - taken < settings.UPLOAD_MIN_RATE * (now - waited):
                found.is_slow = True
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
                return
            waited, taken = now, found.taken

    watcher = threading.Thread(target=watch, daemon=True, name="pace of a sender")
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
