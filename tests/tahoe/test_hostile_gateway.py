"""Whatever listens where a gateway should: what it says ends in an error of ours, in
time, and in little memory.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayTimeout,
    GatewayUnreachable,
    StoreError,
    TahoeStorageError,
    UnexpectedResponse,
)
from tahoestorage.tahoe import deadlines, marker, parsing, presence, transport
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.files import FileReader
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tests.support.leaks import assert_hides_caps, everything_logged
from tests.support.rawserver import RawServer, Script

KEY, HASH = "a" * 26, "b" * 51 + "a"
ROOT = Cap.parse(f"URI:DIR2:{KEY}:{HASH}")
FILE = Cap.parse(f"URI:CHK:{KEY}:{HASH}:1:1:100000")
MUTABLE = Cap.parse(f"URI:SSK-RO:{KEY}:{HASH}")
WHAT = "photos/a.jpg"
MIB = 1 << 20
READ_TIMEOUT = 0.25  # seconds, for what says nothing more
PATIENCE = 60.0  # for what has all to say at once, however busy the machine is

ASKS: dict[str, Callable[[Gateway], object]] = {
    "list": lambda gateway: gateway.list(ROOT, ("a",), lambda child: None, label=WHAT),
    "look at a file": lambda gateway: gateway.list(FILE, label=WHAT),
    "mkdir": lambda gateway: gateway.make_directory({}, "MDMF", label=WHAT),
    "link": lambda gateway: gateway.set_children(ROOT, {"a": Link(FILE)}, label=WHAT),
    "linked": lambda gateway: gateway.read_link(ROOT, "a", label=WHAT),
    "cap": lambda gateway: gateway.cap_at(ROOT, ("a",), label=WHAT),
    "unlink": lambda gateway: gateway.unlink(ROOT, "a", label=WHAT),
    "upload": lambda gateway: gateway.upload(
        UploadBody(lambda: [b"x" * 100], repeatable=True), label=WHAT
    ),
    "download": lambda gateway: FileReader(gateway, FILE, WHAT).readall(),
    "part": lambda gateway: part(FileReader(gateway, FILE, WHAT)),
    "mutable": lambda gateway: FileReader(gateway, MUTABLE, WHAT).size,
    "welcome": lambda gateway: gateway.connected_servers(),
    "create root": marker.make_root,
}
# What reads a body to its end, or looks into it.
READERS = ["list", "linked", "upload", "download", "welcome"]


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait little for what tells whether a gateway is there, and speaks TLS."""
    monkeypatch.setattr(presence, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(transport, "SCHEME_PROBE_SECONDS", 0.1)


def part(reader: FileReader) -> bytes:
    reader.seek(1000)
    return reader.readall()


def memory(label: str) -> int:
    """Return a figure of this process's memory, in bytes."""
    status = Path("/proc/self/status").read_text()
    return next(
        int(line.split()[1]) << 10 for line in status.splitlines() if label in line
    )


@contextlib.contextmanager
def growing_less_than(most: int) -> Iterator[None]:
    """See that this process never takes so many bytes more within the block."""
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    yield
    assert memory("VmHWM") - before < most


class Clock:
    """Stands for the module `time` in what is tested."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Seconds pass for responses only where the test says so."""
    clock = Clock()
    monkeypatch.setattr(deadlines, "time", clock)
    return clock


@contextlib.contextmanager
def gateway_that_says(
    script: Script,
    *,
    seconds: float = PATIENCE,
    retries: int = 0,
    min_rate: float = 1e9,
    linger: bool = False,
) -> Iterator[tuple[Gateway, RawServer]]:
    with RawServer(script, linger=linger) as server:
        gateway = Gateway(
            server.url, read_timeout=seconds, min_rate=min_rate, retries=retries
        )
        with contextlib.closing(gateway):
            yield gateway, server


def error_of(
    ask: str,
    script: Script,
    *,
    seconds: float = PATIENCE,
    retries: int = 0,
    linger: bool = False,
) -> TahoeStorageError:
    """Return the error that a response becomes, which is one of ours.

    Whoever did not give up what has no end would end by the test's own time limit.
    """
    with (
        gateway_that_says(script, seconds=seconds, retries=retries, linger=linger) as (
            gateway,
            _,
        ),
        growing_less_than(32 * MIB),
        everything_logged(),
        pytest.raises(TahoeStorageError) as caught,
    ):
        ASKS[ask](gateway)
    assert str(caught.value).isprintable()
    assert_hides_caps(caught.value, ROOT, FILE, MUTABLE)
    return caught.value


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def sized(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return head(f"Content-Length: {len(body)}", *headers, status=status) + body


CHUNKED = head("Transfer-Encoding: chunked")
ENDLESS = head("Connection: close")


def forever(start: bytes, then: bytes) -> Script:
    return lambda: itertools.chain([start], itertools.repeat(then))


def dripping(start: bytes, then: bytes, every: float = 0.05) -> Script:
    def script() -> Iterator[bytes | float]:
        yield start
        for byte in itertools.cycle(then):
            yield bytes([byte])
            yield every

    return script


def once(*parts: bytes) -> Script:
    return lambda: parts


# Heads

SLOW_HEADS = {
    "silence": lambda: [60.0],
    "a drip": dripping(b"", b"HTTP/1.1 200 OK\r\n" + b"X-Header: x\r\n" * 90),
    "a drip of headers": dripping(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
    "a drip of 100s": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
}


@pytest.mark.parametrize("script", SLOW_HEADS.values(), ids=SLOW_HEADS)
@pytest.mark.parametrize("ask", ["list", "link", "upload", "part"])
def test_a_head_that_does_not_end_is_given_up_in_time(ask: str, script: Script) -> None:
    assert type(error_of(ask, script, seconds=READ_TIMEOUT)) is GatewayTimeout


BAD_HEADS = {
    "nothing": once(),
    "a greeting": once(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "an endless line": forever(b"", b"x" * 65536),
    "an endless status": forever(b"HTTP/1.1 200 ", b"O" * 65536),
    "an endless header": forever(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
    "a flood of 100s": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "a few 100s and nothing": once(b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "endless headers": forever(b"HTTP/1.1 200 OK\r\n", b"X-Header: x\r\n" * 5000),
    "status 99": once(head(status="99 Low")),
    "status 1e9": once(head(status="1000000000 High")),
    "status x": once(head(status="x")),
    "HTTP/3": once(b"HTTP/3 200 OK\r\n\r\n"),
    "two lengths": once(head("Content-Length: 5", "Content-Length: 6") + b"hello"),
    "two lengths in one": once(head("Content-Length: 5, 6") + b"hello"),
    "status 101": once(head("Upgrade: x", status="101 Switching Protocols")),
    "status 204": once(head(status="204 No Content")),
    "status 304": once(head(status="304 Not Modified")),
    "status 999": once(sized(b"\x1b[31m\x00\xff", status="999 \x1b[31m")),
}


@pytest.mark.parametrize("script", BAD_HEADS.values(), ids=BAD_HEADS)
@pytest.mark.parametrize("ask", ["list", "upload", "download"])
def test_a_head_that_is_none_is_an_error_of_ours(ask: str, script: Script) -> None:
    assert isinstance(error_of(ask, script), StoreError)


REDIRECTS = {
    "elsewhere": sized(b"", "Location: http://127.0.0.1:9/", status="302 Found"),
    "to no URL": sized(b"", "Location: http://[", status="301 Moved"),
    "to no text": sized(b"", "Location: http://\xff\xfe", status="307 Moved"),
    "to a file": sized(b"", "Location: file:///etc/passwd", status="308 Moved"),
}


@pytest.mark.parametrize("response", REDIRECTS.values(), ids=REDIRECTS)
@pytest.mark.parametrize("ask", ASKS)
def test_a_redirect_is_told_and_not_looked_at(ask: str, response: bytes) -> None:
    error = error_of(ask, once(response), retries=1)
    assert type(error) is UnexpectedResponse
    assert "set base_url" in str(error)


@pytest.mark.parametrize("ask", ["list", "link", "download"])
@pytest.mark.parametrize("body", ["Transfer-Encoding: chunked", "Connection: close"])
def test_the_body_of_a_redirect_is_not_read_to_its_end(ask: str, body: str) -> None:
    start = head("Location: http://127.0.0.1:9/", body, status="302 Found")
    block = b"x" * 65536
    if "chunked" in body:
        block = b"10000\r\n" + block + b"\r\n"
    assert "set base_url" in str(error_of(ask, forever(start, block)))


@pytest.mark.parametrize("ask", ["list", "download", "welcome"])
def test_an_error_that_should_pass_is_not_waited_for_as_long_as_it_says(
    ask: str,
) -> None:
    start = head("Retry-After: 86400", "Connection: close", status="503 Busy")
    with gateway_that_says(forever(start, b"x" * 65536), retries=2) as (gateway, busy):
        with (
            growing_less_than(32 * MIB),
            pytest.raises(GatewayUnreachable, match="responded with 503"),
        ):
            ASKS[ask](gateway)
        assert busy.accepted == 3


# Bodies

CHILD = b'"name": ["filenode", {"ro_uri": "' + FILE.uri.encode() + b'"}],'
START = b'["dirnode", {"children": {'
SLOW_BODIES = {
    "a drip": dripping(ENDLESS, b" "),
    "a drip of chunks": dripping(CHUNKED, b"1\r\n \r\n"),
    "a drip of a chunk's length": dripping(CHUNKED, b"0"),
    "a drip of trailers": dripping(CHUNKED + b"0\r\n", b"X: x\r\n"),
    "silence": lambda: [head("Content-Length: 100000"), 60.0],
    "silence after a half": lambda: [
        head("Content-Length: 100000") + b" " * 50_000,
        60.0,
    ],
}


@pytest.mark.parametrize("script", SLOW_BODIES.values(), ids=SLOW_BODIES)
@pytest.mark.parametrize("ask", ["list", "upload", "download", "welcome"])
def test_a_body_that_does_not_end_is_given_up_in_time(ask: str, script: Script) -> None:
    assert type(error_of(ask, script, seconds=READ_TIMEOUT)) is GatewayTimeout


ENDLESS_BODIES = {
    "white space": forever(ENDLESS, b" " * 65536),
    "chunks": forever(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "one text": forever(ENDLESS + b'["', b"x" * 65536),
    "one number": forever(ENDLESS + b"[1", b"1" * 65536),
    "nesting": forever(ENDLESS, b"[" * 65536),
    "nested mappings": forever(ENDLESS, b'{"a":' * 10_000),
    "a length of -1": forever(CHUNKED + b"-1\r\n", b"x" * 65536),
    "a length of -5": forever(CHUNKED + b"-5\r\n", b"x" * 65536),
    "a length of 1e30": forever(CHUNKED + b"9" * 30 + b"\r\n", b"x" * 65536),
    "an endless length": forever(CHUNKED, b"0" * 65536),
    "an extension": forever(CHUNKED + b"5;", b"x" * 65536),
    "trailers": forever(CHUNKED + b"0\r\n", b"X-Header: x\r\n" * 5000),
    "extensions": forever(CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
    "no chunks": forever(CHUNKED, b"x\r\n" * 10_000),
    "its length is below 0": forever(head("Content-Length: -1"), b"x" * 65536),
    "its length is long": forever(head(f"Content-Length: {'9' * 5000}"), b"x" * 65536),
    "zipped zeros": forever(
        head("Content-Encoding: gzip", "Connection: close"),
        gzip.compress(b"0" * 10**7),
    ),
}


@pytest.mark.parametrize("script", ENDLESS_BODIES.values(), ids=ENDLESS_BODIES)
@pytest.mark.parametrize("ask", READERS)
def test_an_endless_body_is_given_up(ask: str, script: Script) -> None:
    assert isinstance(error_of(ask, script), StoreError)


LIMIT, AT_ONCE = MIB, 2 << 16


@pytest.mark.parametrize(
    ("start", "then", "most"),
    [
        (START, b'"a":["",{}],' * 5000, AT_ONCE),
        (START, CHILD * 500, LIMIT),
        (START + b'"a": ["filenode", {', b'"key": 1,' * 5000, LIMIT),
        (START + b'"a": ["filenode", {"metadata": {', b'"key": 1,' * 5000, LIMIT),
        (
            START + b'"a": ["filenode", {"metadata": {"tahoe": {',
            b'"k": 1,' * 5000,
            LIMIT,
        ),
        (b'["dirnode", {', b'"key": 1,' * 5000, LIMIT),
        (b'["dirnode", {"children": ', b'["", {}],' * 5000, AT_ONCE),
        (b'["dirnode", {"children": [', b'["", {}],' * 5000, AT_ONCE),
        (b'["dirnode",', b" 5," * 20_000, AT_ONCE),
    ],
    ids=[
        "names",
        "children",
        "keys",
        "metadata",
        "times",
        "own",
        "list",
        "nameless",
        "nodes",
    ],
)
def test_an_endless_listing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, start: bytes, then: bytes, most: int
) -> None:
    """What tiny parts take of a processor, and nothing else here, grows with them.

    So no more bytes are looked at than an honest listing could have of those.
    """
    monkeypatch.setattr(parsing, "LISTING_LIMIT", LIMIT)
    children: list[Child] = []
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for block in forever(start, then)():
            assert isinstance(block, bytes)
            taken += len(block)
            yield block

    with pytest.raises(UnexpectedResponse):
        parsing.NodeParser(WHAT, children.append).parse(counted())
    assert taken <= most + len(then)
    assert len(children) <= taken // 30
    error = error_of("list", forever(ENDLESS + start, then))
    assert type(error) is UnexpectedResponse


def test_the_names_of_a_listing_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MOST_CHILDREN", 10_000)
    error = error_of("list", forever(ENDLESS + START, CHILD * 500))
    assert "has more names than" in str(error)


@pytest.mark.parametrize("space", [b"", b" "])
def test_the_smallest_children_that_there_can_be_are_listed(space: bytes) -> None:
    """Without a cap, and under the shortest names: a program can make such."""
    names = [b"", *(b"%d" % n for n in range(2000))]
    child = (
        b'"%b":' + space + b'["unknown",' + space + b'{"metadata":' + space + b"{}}]"
    )
    listing = b",".join(child % name for name in names)
    children: list[Child] = []
    chunks = [START + listing, b"}}]"]
    parsing.NodeParser(WHAT, children.append).parse(chunks)
    assert [child.name.encode() for child in children] == names


@pytest.mark.parametrize("count", [1, 1000])
def test_what_is_not_wanted_of_a_child_takes_no_memory(count: int) -> None:
    keys = b"".join(b'"k%d": 1,' % n for n in range(count * 1000))
    listing = START + b'"a": ["filenode", {"metadata": {' + keys + b'"mtime": 5}}]}}]'
    children: list[Child] = []
    with growing_less_than(16 * MIB):
        parsing.NodeParser(WHAT, children.append).parse(
            listing[i : i + 65536] for i in range(0, len(listing), 65536)
        )
    assert children[0].entry.modified == 5


WRONG_BODIES = {
    "none": once(sized(b"")),
    "cut": once(head("Content-Length: 100") + b'["dirnode", {'),
    "cut in a chunk": once(CHUNKED + b"100\r\n" + START),
    "cut between chunks": once(CHUNKED + b"1a\r\n" + START + b"\r\n"),
    "a page": once(sized(b"<html><body>Welcome to nginx!</body></html>")),
    "UTF-16": once(sized('["filenode", {}]'.encode("utf-16"))),
    "Latin-1": once(sized('["dirnode", {"children": {"é": 5}}]'.encode("latin-1"))),
    "zipped": once(sized(gzip.compress(b"{}"), "Content-Encoding: gzip")),
    "said to be zipped": once(sized(b"[]", "Content-Encoding: gzip")),
    "null": once(sized(b"null")),
    "NaN": once(sized(b"[NaN, Infinity]")),
    "1e999": once(sized(b"[1e999, -1e999]")),
    "100,000 digits": once(sized(b'["filenode", {"size": ' + b"9" * 100_000 + b"}]")),
    "10,000 brackets": once(sized(b"[" * 10_000 + b"]" * 10_000)),
    "unknown": once(sized(b"URI:FUTURE:something:else")),
    "another write cap": once(sized(MUTABLE.uri.encode())),
    "two caps": once(sized(f"{ROOT.uri}\n{ROOT.uri}".encode())),
    "a cap, and NUL": once(sized(f"{ROOT.uri}\0".encode())),
    "brackets": once(sized(b"<" * 60_000, status="500 No")),
    "breaks": once(sized(b"Traceback" + b"\n " * 30_000, status="500 No")),
}


@pytest.mark.parametrize("script", WRONG_BODIES.values(), ids=WRONG_BODIES)
@pytest.mark.parametrize("ask", [*READERS, "mkdir", "create root"])
def test_a_body_that_is_none_is_an_error_of_ours(ask: str, script: Script) -> None:
    assert isinstance(error_of(ask, script), StoreError)


PARTS = {
    "another part": sized(
        b"x", "Content-Range: bytes 0-0/100000", status="206 Partial Content"
    ),
    "a part of nothing": sized(b"x", status="206 Partial Content"),
    "of another size": sized(
        b"x", "Content-Range: bytes 1000-1000/5", status="206 Partial Content"
    ),
    "backwards": sized(
        b"x", "Content-Range: bytes 1000-5/100000", status="206 Partial Content"
    ),
    "beyond": sized(b"x", "Content-Range: bytes 1000-999999/100000", status="206 P"),
    "all of it": sized(b"x" * 100_000),
    "nothing there": sized(b"", status="416 No"),
    "too little": head(
        "Content-Range: bytes 1000-99999/100000", status="206 Partial Content"
    )
    + b"x",
    "too much": head(
        "Content-Range: bytes 1000-1999/100000", status="206 Partial Content"
    )
    + b"x" * 5000,
    "many parts": sized(
        b"--x", "Content-Type: multipart/byteranges; boundary=x", status="206 P"
    ),
}


@pytest.mark.parametrize("response", PARTS.values(), ids=PARTS)
def test_a_part_that_is_not_the_one_asked_for_is_no_part_of_the_file(
    response: bytes,
) -> None:
    assert isinstance(error_of("part", once(response)), DamagedDownload)


def test_a_slow_reader_is_not_a_slow_gateway(clock: Clock) -> None:
    """What the caller does between two reads is not counted."""
    content = b"x" * 100_000
    response = head("Content-Length: 100000")

    def slowly() -> Iterator[bytes | float]:
        yield response
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]
            yield 0.01

    with gateway_that_says(slowly) as (gateway, _):
        reader = FileReader(gateway, FILE, WHAT)
        read = bytearray()
        while some := reader.read(30_000):
            read += some
            clock.now += 2 * PATIENCE
    assert bytes(read) == content


def test_a_gateway_may_take_as_long_as_the_bytes_take_at_the_least_rate() -> None:
    """In all longer than the time limit, and never without a byte for so long."""

    def each(pause: float) -> Script:
        parts: list[bytes | float] = [b"x" * 10_000, pause] * 10
        return lambda: [head("Content-Length: 100000"), *parts]

    with gateway_that_says(each(0.5), seconds=4, min_rate=1000) as (gateway, _):
        assert len(FileReader(gateway, FILE, WHAT).readall()) == 100_000
    slowly = each(READ_TIMEOUT / 4)
    with (
        gateway_that_says(slowly, seconds=READ_TIMEOUT) as (gateway, _),
        pytest.raises(GatewayTimeout),
    ):
        FileReader(gateway, FILE, WHAT).readall()
