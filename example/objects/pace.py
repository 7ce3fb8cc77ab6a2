"""Senders that are too slow, or have stopped: none holds a thread for long."""

from __future__ import annotations

import array
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import IO

from django.conf import settings

INTERVAL = 0.5  # seconds between two looks
# Bytes of one read: small, so that what a slow sender sends is seen to come. What has
# come already is read at once: of what gunicorn has read beyond it, it copies all each
# time.
PIECE = 1 << 15


class TooSlow(Exception):
    """The sender was cut off: too few bytes came in the time."""


class WatchedStream:
    """A body that is read from a connection; see ``watched``."""

    def __init__(
        self, stream: IO[bytes], connection: socket.socket | None = None
    ) -> None:
        self._stream, self._connection = stream, connection
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
            piece = self._stream.read(min(size - len(found), self._at_once()))
            self._waited, self._waiting_since = self.waited, None
            if self.is_slow:
                raise TooSlow(f"{self.taken} bytes came in {self.waited:.0f} seconds.")
            if not piece:
                break
            self.taken += len(piece)
            if len(piece) == size:
                return piece
            found += piece
        return bytes(found)

    def _at_once(self) -> int:
        """Return how many bytes to wait for at most, those that are there included."""
        if self._connection is None:
            return PIECE
        # Not everywhere are these; gunicorn, which tells the connection, is not either.
        import fcntl
        import termios

        ready = array.array("i", [0])
        with contextlib.suppress(OSError):  # It may be closed.
            fcntl.ioctl(self._connection, termios.FIONREAD, ready)
        return max(PIECE, ready[0])


class _Sender:
    """A connection whose body is being read, and how far it was at the last look."""

    def __init__(self, stream: WatchedStream, connection: socket.socket) -> None:
        self._stream = stream
        self._connection = connection
        self._waited = 0.0
        self._taken = 0

    def look(self) -> None:
        """Cut the sender off where too few bytes came in the time."""
        stream = self._stream
        waited, taken = stream.waited, stream.taken
        seconds = waited - self._waited
        if stream.is_slow or seconds < settings.UPLOAD_PATIENCE:
            return
        if taken - self._taken < settings.UPLOAD_MIN_RATE * seconds:
            stream.is_slow = True
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RD)
        self._waited, self._taken = waited, taken


class _Watcher:
    """Looks at all senders of this process, by one thread while there are any.

    A thread for each of them would take longer than to read a small body.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._senders: set[_Sender] = set()
        self._thread: threading.Thread | None = None

    def add(self, sender: _Sender) -> None:
        """Begin to look at a sender."""
        with self._lock:
            self._senders.add(sender)
            # After a fork there is none.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="pace of senders"
                )
                self._thread.start()

    def remove(self, sender: _Sender) -> None:
        """End it: from now on the connection is left alone."""
        with self._lock:
            self._senders.discard(sender)

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                if not self._senders:
                    self._thread = None
                    return
                for sender in self._senders:
                    sender.look()


_watcher = _Watcher()


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
    found = WatchedStream(stream, connection)
    if connection is None:
        yield found
        return
    sender = _Sender(found, connection)
    _watcher.add(sender)
    try:
        yield found
    finally:
        _watcher.remove(sender)
