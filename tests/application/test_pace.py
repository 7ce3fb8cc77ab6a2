"""How a body is read: what has come at once, and of a slow sender little at a time."""

from __future__ import annotations

import io
import socket
from typing import Any

from objects.pace import PIECE, watched

LONG = 3 * PIECE


class Stream(io.RawIOBase):
    """The body of a request that a connection brings, and how much it was asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.asked: list[int] = []

    def read(self, size: int = -1) -> bytes:
        self.asked.append(size)
        return self._connection.recv(size, socket.MSG_WAITALL)


def test_what_has_come_is_read_at_once_and_no_more_is_waited_for() -> None:
    here, there = socket.socketpair()
    with here, there:
        stream: Any = Stream(here)
        with watched(stream, here) as body:
            there.sendall(b"x" * LONG)
            assert body.read(LONG) == b"x" * LONG
            there.sendall(b"y" * 10)
            there.shutdown(socket.SHUT_WR)
            assert body.read(LONG) == b"y" * 10
            assert body.taken == LONG + 10

    assert stream.asked == [LONG, PIECE, PIECE]


def test_a_body_whose_connection_is_not_told_comes_in_pieces() -> None:
    stream: Any = io.BytesIO(b"x" * LONG)

    with watched(stream, None) as body:
        assert body.read(LONG) == b"x" * LONG

    assert body.taken == LONG
