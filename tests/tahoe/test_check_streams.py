"""A check that is streamed: slow it may be, but not silent."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator

import pytest

from tahoestorage.exceptions import GatewayTimeout
from tahoestorage.tahoe import gateway as gateways
from tahoestorage.tahoe import presence
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.gateway import Gateway
from tests.support.rawserver import RawServer, Script

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
DIRECTORY = Cap.parse("URI:DIR2-LIT:")
SILENCE = 1.2  # seconds: of a request, and what is allowed beyond it


def line(content: bytes) -> bytes:
    results = {"storage-index": "", "results": {"healthy": True}}
    unit = {"type": "file", "cap": literal_cap(content).uri, "check-results": results}
    return json.dumps(unit).encode() + b"\n"


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(gateways, "STREAM_SILENCE", SILENCE / 2)


@contextlib.contextmanager
def gateway_that_says(script: Script) -> Iterator[Gateway]:
    with (
        RawServer(script) as server,
        contextlib.closing(Gateway(server.url, read_timeout=SILENCE / 2)) as gateway,
    ):
        yield gateway


@pytest.mark.parametrize("before", [b"", HEAD, HEAD + line(b"1")])
def test_a_gateway_that_freezes_is_not_waited_for(before: bytes) -> None:
    def script() -> Iterable[bytes | float]:
        yield from (before, 300.0)

    with gateway_that_says(script) as gateway:
        started = time.monotonic()
        with pytest.raises(GatewayTimeout):
            list(gateway.deep_check(DIRECTORY, seconds=300.0, label="d"))
        assert time.monotonic() - started < 30


def test_a_gateway_that_goes_on_line_by_line_may_take_longer() -> None:
    def script() -> Iterable[bytes | float]:
        yield HEAD
        for number in range(5):
            yield SILENCE / 4
            yield line(b"%d" % number)
        yield b'{"type": "stats"}\n'

    with gateway_that_says(script) as gateway:
        found = list(gateway.deep_check(DIRECTORY, seconds=300.0, label="d"))
    assert len(found) == 5
