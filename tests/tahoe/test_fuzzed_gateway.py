"""Thousands of answers that no gateway should give: each ends in time, in what was
asked for or in an error of ours, and all of them leave the memory as it was.

The answers are real ones, changed: by structure, and byte by byte. They come through a
real socket, and all of requests, urllib3 and http.client.
"""

from __future__ import annotations

import contextlib
import gc
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.connection
from django.core.files.base import ContentFile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import gateway as gateways
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.presence import Presence
from tests.tahoe.test_hostile_gateway import ASKS, memory

KEY, HASH = "a" * 26, "b" * 51 + "a"
DIR = f"URI:DIR2:{KEY}:{HASH}"
CHK = f"URI:CHK:{KEY}:{HASH}:1:1:1000"
CAPS = [
    DIR,
    Cap.parse(DIR).read_only.uri,
    CHK,
    f"URI:SSK:{KEY}:{HASH}",
    f"URI:MDMF-RO:{KEY}:{HASH}",
    f"URI:DIR2-Verifier:{KEY}:{HASH}",
    "URI:LIT:nbswy3dp",
    "URI:FUTURE:x",
    "ro.URI:FUTURE:x",
    DIR + "x",
    "",
]
EXAMPLES, PARTS = 2_000, 2
READ_TIMEOUT = 0.2
MIB = 1 << 20


def child(kind: str, **properties: Any) -> list[Any]:
    metadata = {"tahoe": {"linkcrtime": 1.7e9, "linkmotime": 1.7e9}, "ctime": 1}
    return [kind, {"metadata": metadata, "verify_uri": "x", **properties}]


LISTING = [
    "dirnode",
    {
        "children": {
            "a": child("filenode", ro_uri=CHK, size=1000),
            "b": child("dirnode", ro_uri=CAPS[1], rw_uri=DIR),
            "c": child("filenode", ro_uri="URI:LIT:nbswy3dp"),
        },
        "ro_uri": CAPS[1],
        "rw_uri": DIR,
        "mutable": True,
    },
]
FILENODE = ["filenode", {"ro_uri": CHK, "size": 1000}]
WELCOME = {"servers": [{"connection_status": "Connected to x"}], "introducers": {}}
DOCUMENTS = [LISTING, FILENODE, WELCOME]
TEXTS = [
    DIR,
    CHK,
    "No such child: a",
    "Files have no children named b",
    "There was already a child by that name",
    "a file was in the way",
    "Traceback (most recent call last):\n  File\nallmydata.x.NotWriteableError: no\n",
    "NoServersError: none",
    "<html>" + "<p>" * 50,
    "x" * 1000,
    "x" * 70_000,
]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**18, 10**19, -(10**400), 10**4000, 1e308, -6e10, 2**63]),
    st.floats(),
    st.sampled_from(CAPS),
    st.sampled_from(["../x", "a/b", "\0", "..", "\x1b[31m", "\u202e", "\ud800", "é"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "children", "ro_uri"]), inner)
    ),
    max_leaves=4,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a document."""
    yield path
    if isinstance(document, dict):
        for key in document:
            yield from places(document[key], (*path, key))
    elif isinstance(document, list):
        for number, each in enumerate(document):
            yield from places(each, (*path, number))


PLACES = [list(places(document)) for document in DOCUMENTS]


def changed(document: Any, path: tuple[Any, ...], value: Any, name: str | None) -> Any:
    """Return the document with another value there, or the same by another name."""
    if not path:
        return value
    key, *rest = path
    inner = changed(document[key], tuple(rest), value, name)
    if isinstance(document, list):
        return [*document[:key], inner, *document[key + 1 :]]
    if name is not None and not rest:
        return {(name if k == key else k): v for k, v in document.items()}
    return {**document, key: inner}


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    number = draw(st.integers(0, len(DOCUMENTS) - 1))
    document = DOCUMENTS[number]
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(PLACES[number]))
        name = draw(st.none() | st.text(max_size=4))
        value = draw(VALUES)
        # A change before it may have taken the place away.
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
            document = changed(document, path, value, name)
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    nested = draw(st.sampled_from([0] * 20 + [5, 40, 20_000]))
    if nested:
        text = "[" * nested + text + "]" * nested
    return text.encode(draw(ENCODINGS), "surrogatepass")


ENCODINGS = st.sampled_from(["utf-8"] * 10 + ["utf-16"])
REAL_BODIES = st.sampled_from(
    [json.dumps(document).encode() for document in DOCUMENTS]
    + [DIR.encode(), CHK.encode(), b"x" * 1000]
)
OTHER_BODIES = (
    documents()
    | documents()
    | st.sampled_from(TEXTS).map(str.encode)
    | st.binary(max_size=60)
)
STATUSES = st.sampled_from(
    [b"200 OK"] * 6
    + [b"201 Created", b"206 Partial Content", b"404 No", b"409 No", b"410 Gone"]
    + [b"500 No", b"416 No", b"302 Found", b"204 None", b"100 Go on", b"503 Busy"]
    + [b"\xff", b"99999 x", b"20", b"-1 x", b""]
)
HEADERS = st.sampled_from(
    [
        b"Content-Encoding: gzip",
        b"Content-Type: text/plain; charset=\xff",
        b"Content-Type: ;;;=",
        b"Content-Range: bytes 1000-1000/1000",
        b"Content-Range: bytes 5-9/99999",
        b"Content-Range: bytes */0",
        b"Content-Length: 5",
        b"Content-Length: -5",
        b"Content-Length: 5, 6",
        b"Content-Length: 9999999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Location: http://[",
        b"Location: \xff\xfe",
        b"Set-Cookie: a=b; Max-Age=x; expires=y; Domain=..",
        b"Retry-After: 86400",
        b"Retry-After: x",
        b": x",
        b"x",
        b" folded",
        b"X: \x00\x1b",
        b"X: " + b"x" * 70_000,
    ]
)
LENGTHS = st.sampled_from(
    [b"%x" % 5, b"0", b"-1", b"-5", b"+1", b"1_0", b"x", b"", b"f" * 20]
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Return the bytes of a response, with something wrong in it."""
    wrong = draw(st.sets(st.sampled_from(WRONG), max_size=2))
    if "all" in wrong:
        return draw(st.binary(max_size=200))
    body = draw(OTHER_BODIES if "body" in wrong else REAL_BODIES)
    status = draw(STATUSES) if "status" in wrong else b"200 OK"
    headers = draw(st.lists(HEADERS, max_size=3)) if "headers" in wrong else []
    framing = draw(FRAMINGS) if "framing" in wrong else "length"
    if framing == "length":
        headers.append(b"Content-Length: %d" % len(body))
    elif framing == "wrong":
        headers.append(b"Content-Length: %d" % (len(body) + draw(st.integers(-9, 9))))
    elif framing == "chunks":
        headers.append(b"Transfer-Encoding: chunked")
        cut = draw(st.integers(0, len(body)))
        lengths = [b"%x" % cut, b"%x" % (len(body) - cut), b"0"]
        if draw(st.booleans()):
            lengths[draw(st.integers(0, 2))] = draw(LENGTHS)
        parts = zip(lengths, [body[:cut], body[cut:], b""], strict=True)
        body = b"".join(b"%b\r\n%b\r\n" % part for part in parts)
    response = b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])
    if "bytes" in wrong:
        at = draw(st.integers(0, len(response)))
        other = draw(st.binary(max_size=20))
        # Cut, changed, or with something in between, or twice.
        again = draw(st.sampled_from([len(response), at + len(other), at, at - 200]))
        response = response[:at] + other + response[max(again, 0) :]
    return response


WRONG = ["body"] * 4 + ["status", "headers", "framing", "bytes"] * 2 + ["all"]
FRAMINGS = st.sampled_from(["chunks", "chunks", "wrong", "none"])


class Line:
    """The other end of each connection: says the answers in turn, and hangs up."""

    def __init__(self) -> None:
        self._responses: list[bytes] = []
        self._said = 0
        self._ends: list[socket.socket] = []

    def says(self, *responses: bytes) -> None:
        self._responses, self._said = list(responses), 0

    def connect(self, *arguments: object, **options: object) -> socket.socket:
        self.hang_up()
        near, far = socket.socketpair()
        self._ends = [far]
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        far.setblocking(False)
        response = self._responses[self._said % len(self._responses)]
        self._said += 1
        # A few answers are longer than what a socket takes at once; they are cut.
        far.send(response or b" ")
        far.shutdown(socket.SHUT_WR)
        return near

    def hang_up(self) -> None:
        for end in self._ends:
            end.close()
        self._ends = []


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    line = Line()
    monkeypatch.setattr(urllib3.util.connection, "create_connection", line.connect)
    # What is not sent is not waited for.
    monkeypatch.setattr(gateways, "PAUSE", 0.0)
    monkeypatch.setattr(gateways, "LONGEST_PAUSE", 0.0)
    yield line
    line.hang_up()


def read(storage: TahoeStorage) -> None:
    with storage.open("b/a") as file:
        file.seek(10)
        file.read(5)


USES: dict[str, Callable[[TahoeStorage], object]] = {
    "listdir": lambda storage: storage.listdir("b"),
    "size": lambda storage: storage.size("a"),
    "url": lambda storage: storage.url("b/a"),
    "time": lambda storage: storage.get_modified_time("a"),
    "read": read,
    "save": lambda storage: storage.save("b/new", ContentFile(b"x" * 1000)),
    "delete": lambda storage: storage.delete("a"),
    "move": lambda storage: storage.move("a", "b/other"),
    "exists": lambda storage: storage.exists("b/a"),
}


# What one part reaches, the others do; each would take half as long again to trace.
@pytest.mark.parametrize(
    "number",
    [0, *(pytest.param(n, marks=pytest.mark.no_cover) for n in range(1, PARTS))],
)
def test_no_response_hangs_or_is_tripped_over_or_stays_in_memory(
    line: Line, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Or most would never be asked.
    monkeypatch.setattr(Presence, "may_ask", lambda *rest: True)
    monkeypatch.setattr(Presence, "timed_out", lambda *rest: None)
    gateway = Gateway("http://gateway.example", read_timeout=READ_TIMEOUT, retries=1)
    storage = TahoeStorage(
        base_url="http://gateway.example",
        base_cap=DIR,
        public_base_url="http://files.example",
        cache=False,
        read_timeout=READ_TIMEOUT,
        retries=1,
    )
    asks = [*ASKS.values()]
    uses = [*USES.values()]
    ended = {"well": 0, "badly": 0, "not printable": 0}

    def one(responses: list[bytes], which: int) -> None:
        line.says(*responses)
        try:
            if which < len(asks):
                asks[which](gateway)
            else:
                uses[which - len(asks)](storage)
        except TahoeStorageError as error:
            ended["badly" if str(error).isprintable() else "not printable"] += 1
        else:
            ended["well"] += 1

    def run(examples: int, seed: int) -> None:
        fuzz = given(
            st.lists(responses(), min_size=1, max_size=4),
            st.integers(0, len(asks) + len(uses) - 1),
        )(one)
        hypothesis_seed(seed)(
            settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=False,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(fuzz)
        )()

    with contextlib.closing(gateway), contextlib.closing(storage.directories.gateway):
        run(100, PARTS + number)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmRSS")
        run(EXAMPLES // PARTS, number)
        assert memory("VmHWM") - before < 64 * MIB
        print(ended, (memory("VmHWM") - before) / MIB)
    assert ended["not printable"] == 0
    assert ended["badly"] > EXAMPLES // PARTS // 2
    assert ended["well"] > EXAMPLES // PARTS // 50
