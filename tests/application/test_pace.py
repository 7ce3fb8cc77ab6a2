"""How a body is read: what has come at once, and of a slow sender little at a time."""

from __future__ import annotations

import contextlib
import io
import socket
import time
from typing import Any
from unittest import mock

import pytest

from config.senders import SLOW, WatchedForms
from objects import pace
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


def test_a_form_that_comes_too_slowly_is_cut_off_however_it_is_read(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    now, looking = [0.0], set[Any]()

    class Slowly(io.BytesIO):
        """Brings a byte in a second; its sender is looked at after each."""

        def read(self, size: int | None = -1, /) -> bytes:
            now[0] += 1
            for sender in looking:
                sender.look()
            return super().read(1)

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        with contextlib.suppress(OSError):
            while environ["wsgi.input"].read(1):
                pass
        start("200 OK", [])
        return [b"read"]

    monkeypatch.setattr(pace, "_watcher", looking)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told = mock.Mock()
    here, there = socket.socketpair()
    with here, there:
        form = {
            "CONTENT_TYPE": "multipart/form-data; boundary=b",
            "gunicorn.socket": here,
            "wsgi.input": Slowly(b"x" * 10_000),
        }
        assert WatchedForms(application)(form, told) == [SLOW[1]]

    assert told.call_args.args[0] == "408 Request Timeout" == SLOW[0]
    # A minute, and the look that follows.
    assert now[0] == pytest.approx(settings.UPLOAD_PATIENCE, abs=2)
    assert not looking
