"""HTTP responses with a deadline and a bound on framing (RFC 9112)."""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from typing import Any

# Bytes, at most: of a response's head, and of chunk headers and trailers in one read.
FRAME_LIMIT = 1 << 20
# Bytes on the wire for one of content: a chunk of one byte takes six (RFC 9112, 7.1).
_MOST_FOR_ONE = 16


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until ``deadline`` (monotonic seconds), at most ``room`` bytes.

    Each byte moves the deadline by the time it may take at ``rate`` bytes per second.
    Raises TimeoutError after the deadline, BadStatusLine beyond the room. The room also
    ends what http.client reads without end: a chunk of negative length.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, rate: float) -> None:
        self._raw, self._socket, self._rate = raw, sock, rate
        self.limit = sock.gettimeout() or 0.0
        self.deadline = math.inf
        self.room = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response comes too slowly")
        if self.room < 0:
            raise http.client.BadStatusLine(
                "the response has more framing than content"
            )
        self._socket.settimeout(min(self.limit, left))
        count = self._raw.readinto(buffer)
        if count:
            self.deadline += count / self._rate
            self.room -= count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def extend(response: Any, seconds: float) -> None:
    """Let the body of urllib3's ``response`` take so many seconds longer in all.

    As before, none of its bytes may come later after another than the socket's limit.
    """
    original = response._original_response
    if isinstance(original, DeadlineResponse):
        original.extend(seconds)


class DeadlineResponse(http.client.HTTPResponse):
    """A response that ends in time, however slowly the server sends, whatever it sends.

    The head may take the socket's time limit, and the time its bytes take at ``rate``
    bytes per second; the body may take as long again. Time that the caller spends
    between two reads does not count. Raises as http.client does, and TimeoutError.

    Source: RFC 9112, section 8 (incomplete messages) and 7.1 (chunked coding).
    """

    rate: float

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _DeadlineReader(self.fp.detach(), sock, self.rate)
        self.fp = io.BufferedReader(self._reader)
        self._left = self._reader.limit

    @contextlib.contextmanager
    def _in_time(self, room: int) -> Iterator[None]:
        reader = self._reader
        reader.room = room
        reader.deadline = time.monotonic() + self._left
        try:
            yield
        finally:
            self._left = reader.deadline - time.monotonic()
            reader.deadline = math.inf

    def extend(self, seconds: float) -> None:
        """Let the body take longer, by so many seconds in all; not each byte of it."""
        self._left += seconds

    def begin(self) -> None:
        with self._in_time(FRAME_LIMIT):
            super().begin()
        self._left = self._reader.limit

    def read(self, amt: int | None = None) -> bytes:
        with self._in_time(FRAME_LIMIT + _MOST_FOR_ONE * (amt or 0)):
            return super().read(amt)
