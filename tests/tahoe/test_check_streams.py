"""A check that is streamed: slow it may be, but not silent."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator

import pytest

from tahoestorage.exceptions import GatewayTimeout, UnexpectedResponse
from tahoestorage.tahoe import gateway as gateways
from tahoestorage.tahoe import presence
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.checkresults import StreamedResults, parse_stream
from tahoestorage.tahoe.gateway import Gateway
from tests.support.rawserver import RawServer, Script

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
DIRECTORY = Cap.parse("URI:DIR2-LIT:")
SILENCE = 2.4  # seconds: of a request, and what is allowed beyond it


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
        for number in range(12):
            yield SILENCE / 9
            yield line(b"%d" % number)
        yield b'{"type": "stats"}\n'

    with gateway_that_says(script) as gateway:
        found = list(gateway.deep_check(DIRECTORY, seconds=300.0, label="d"))
    assert len(found) == 12


FAILED = (
    b"ERROR: NotEnoughSharesError(no shares could be found)\n"
    b"Traceback (most recent call last):\n"
    b'  File "URI:DIR2:planted:secret", line 1, in check\n'
)


@pytest.mark.parametrize(
    "end", [FAILED, FAILED[:20], b""], ids=["error", "cut", "none"]
)
@pytest.mark.parametrize("size", [1, 50, 5000], ids=["bytes", "pieces", "whole"])
def test_what_came_before_a_stream_broke_off_is_told_and_then_that_it_did(
    end: bytes, size: int
) -> None:
    said = line(b"1") + line(b"2") + end
    blocks = [said[at : at + size] for at in range(0, len(said), size)]
    found: list[StreamedResults] = []

    with pytest.raises(UnexpectedResponse, match="ended its check too early") as raised:
        found.extend(parse_stream(blocks, "d"))

    assert len(found) == 2
    # Tracebacks of a gateway are full of caps.
    assert "planted" not in str(raised.value)


def test_what_an_error_follows_is_not_an_end() -> None:
    said = b'{"type": "stats"}\n'
    assert list(parse_stream([line(b"1"), said], "d"))
    with pytest.raises(UnexpectedResponse):
        list(parse_stream([line(b"1"), said, FAILED], "d"))
