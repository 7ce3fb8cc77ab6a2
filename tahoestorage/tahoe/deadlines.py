"""Answers that end in time, and have no more around them than there is in them."""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from typing import Any

# Bytes of a head at most, and of what stands between the parts of a body.
FRAME_LIMIT = 1 << 20
# A chunk of one byte comes as six.
_MOST_FOR_ONE = 16


class _DeadlineReader(io.RawIOBase):
    """A socket, read no longer than until ``deadline``, and no more than ``room``.

    Each byte that comes puts off the deadline, by the time that it may take. The room
    also ends what http.client reads on and on: a chunk whose length is below 0.
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
            raise TimeoutError("the answer comes too slowly")
        if self.room < 0:
            raise http.client.BadStatusLine("there is more around it than in it")
        self._socket.settimeout(min(self.limit, left))
        count = self._raw.readinto(buffer)
        if count:
            self.deadline += count / self._rate
            self.room -= count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class DeadlineResponse(http.client.HTTPResponse):
    """A response that ends in time, however slowly it comes, and whatever comes.

    Its head may take as long as the time limit, and as its bytes take at ``rate``
    bytes per second; its body as long again. What the caller does between two reads
    does not count.
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

    def begin(self) -> None:
        with self._in_time(FRAME_LIMIT):
            super().begin()
        self._left = self._reader.limit

    def read(self, amt: int | None = None) -> bytes:
        with self._in_time(FRAME_LIMIT + _MOST_FOR_ONE * (amt or 0)):
            return super().read(amt)
