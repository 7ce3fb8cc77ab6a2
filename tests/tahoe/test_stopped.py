"""Whether a gateway has stopped, and so is late with nothing."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tahoestorage.tahoe import presence

NO_ADDRESS = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


@pytest.fixture
def port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens, nor can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def resolve(port: int, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a URL of a name that has these addresses of IPv6, and 127.0.0.1."""

    def resolve(*addresses: str) -> str:
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            for each in addresses
        ]
        mine = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, mine])
        return "http://gateway.example"

    return resolve


def ipv6(
    monkeypatch: pytest.MonkeyPatch,
    *,
    new: OSError | None = None,
    connect: OSError | None = None,
    bind: OSError | None = None,
) -> None:
    """Let what is done with IPv6 fail so."""

    class Socket(socket.socket):
        def __init__(self, family: int = socket.AF_INET, *more: Any) -> None:
            if new is not None and family == socket.AF_INET6:
                raise new
            # Not with IPv6: not every machine has it.
            super().__init__(socket.AF_INET, *more)
            self.is_ipv6 = family == socket.AF_INET6

        def connect(self, address: Any) -> None:
            if not self.is_ipv6:
                super().connect(address)
            elif connect is not None:
                raise connect

        def bind(self, address: Any) -> None:
            if not self.is_ipv6:
                super().bind(address)
            elif bind is not None:
                raise bind

    monkeypatch.setattr(socket, "socket", Socket)


def test_what_refuses_connections_has_stopped(port: int) -> None:
    assert presence.is_stopped(f"http://127.0.0.1:{port}")


def test_what_listens_has_not_stopped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert not presence.is_stopped(url)


def test_a_name_that_is_not_found_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert not presence.is_stopped("http://gateway.example")


@pytest.mark.parametrize(
    "how",
    [
        {"connect": NO_ADDRESS, "bind": NO_ADDRESS},
        {"new": OSError(errno.EAFNOSUPPORT, "not supported")},
        {"connect": ConnectionRefusedError(errno.ECONNREFUSED, "refused")},
    ],
    ids=["no-address", "no-ipv6", "refused"],
)
def test_a_host_without_ipv6_does_not_wait_for_its_loopback(
    resolve: Callable[..., str], monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    url = resolve("::1")
    ipv6(monkeypatch, **how)
    assert presence.is_stopped(url)


@pytest.mark.parametrize(
    ("address", "how"),
    [
        ("::1", {}),
        # No port may be left for another connection.
        ("::1", {"connect": NO_ADDRESS}),
        ("::1", {"connect": TimeoutError("timed out")}),
        # Other hosts may reach it there.
        ("2001:db8::1", {"connect": OSError(errno.ENETUNREACH, "unreachable")}),
        ("2001:db8::1", {"connect": NO_ADDRESS, "bind": NO_ADDRESS}),
    ],
    ids=["listens", "no-port", "hangs", "no-network", "no-address"],
)
def test_what_may_live_at_another_address_has_not_stopped(
    resolve: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    how: dict[str, Any],
) -> None:
    url = resolve(address)
    ipv6(monkeypatch, **how)
    assert not presence.is_stopped(url)


def test_where_there_can_be_nothing_nobody_has_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    ipv6(monkeypatch, connect=NO_ADDRESS, bind=NO_ADDRESS)
    assert not presence.is_stopped("http://gateway.example")
