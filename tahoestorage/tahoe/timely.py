"""Answers that end in time."""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from typing import Any


class _Timely(io.RawIOBase):
    """A socket, read no longer than until ``deadline``."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._socket = raw, sock
        self.limit = sock.gettimeout() or 0.0
        self.deadline = math.inf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer comes too slowly")
        self._socket.settimeout(min(self.limit, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Counted(io.BufferedReader):
    """Reads as much as it is told: all there is may have no end."""

    def read(self, size: int | None = -1, /) -> bytes:
        # http.client passes on the length of a chunk, which may be told as negative.
        if size is None or size < 0:
            raise http.client.IncompleteRead(b"")
        return super().read(size)


class TimelyAnswer(http.client.HTTPResponse):
    """An answer that ends in time, however slowly it comes, and whatever comes.

    Its head must be whole within the time limit. For its body we wait as long again,
    and for as long as its bytes take at ``rate`` bytes per second; what the caller
    does between two reads does not count.
    """

    rate: float

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._timely = _Timely(self.fp.detach(), sock)
        self.fp = _Counted(self._timely)
        self._left = self._timely.limit

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        started = time.monotonic()
        self._timely.deadline = started + self._left
        try:
            yield
        finally:
            self._timely.deadline = math.inf
            self._left -= time.monotonic() - started

    def begin(self) -> None:
        with self._in_time():
            super().begin()
        self._left = self._timely.limit

    def read(self, amt: int | None = None) -> bytes:
        with self._in_time():
            data = super().read(amt)
        self._left += len(data) / self.rate
        return data
