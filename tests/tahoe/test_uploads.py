"""Content on its way to the grid: whole, or not at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import (
    InMemoryUploadedFile,
    SimpleUploadedFile,
    TemporaryUploadedFile,
)

from tahoestorage.exceptions import GatewayTimeout, GatewayUnreachable
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.leaks import assert_hides_caps
from tests.support.proxy import LoseResponse, Proxy, Refuse, Seen, Stall, StallRequest

CONTENT = os.urandom(300_000)
ReadBack = Callable[[], dict[str, bytes]]


pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def on_grid(tahoe_grid: LocalGrid, root: Cap) -> ReadBack:
    """What is in the root but our marker, asked without any of our code."""

    def read() -> dict[str, bytes]:
        url = f"{tahoe_grid.base_url}/uri/{root.uri}"
        kind, node = requests.get(f"{url}?t=json", timeout=30).json()
        assert kind == "dirnode"
        return {
            name: requests.get(
                f"{tahoe_grid.base_url}/uri/{child['ro_uri']}", timeout=30
            ).content
            for name, (_, child) in node["children"].items()
            if name != marker.NAME
        }

    return read


class Chunks:
    """Content that is only known chunk by chunk, once."""

    name = "chunks.bin"

    def __init__(self, *chunks: Any) -> None:
        self._chunks = chunks
        self.begun = 0

    def chunks(self, chunk_size: int | None = None) -> Iterator[Any]:
        self.begun += 1
        for chunk in self._chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk


def temporary(content: bytes) -> TemporaryUploadedFile:
    file = TemporaryUploadedFile("a.bin", "text/plain", len(content), None)
    file.write(content)
    file.seek(7)
    return file


def in_memory(content: bytes) -> InMemoryUploadedFile:
    file = io.BytesIO(content)
    return InMemoryUploadedFile(file, None, "a.bin", None, len(content), None)


def on_disk(content: bytes, directory: Path) -> File[bytes]:
    path = directory / "a.bin"
    path.write_bytes(content)
    return File(path.open("rb"))


FORMS: dict[str, Callable[[Path], Any]] = {
    "file on disk": lambda tmp: on_disk(CONTENT, tmp),
    "file object": lambda tmp: io.BytesIO(CONTENT),
    "ContentFile": lambda tmp: ContentFile(CONTENT),
    "TemporaryUploadedFile": lambda tmp: temporary(CONTENT),
    "InMemoryUploadedFile": lambda tmp: in_memory(CONTENT),
    "SimpleUploadedFile": lambda tmp: SimpleUploadedFile("a.bin", CONTENT),
    "chunks": lambda tmp: Chunks(CONTENT[:1], CONTENT[1:70_000], b"", CONTENT[70_000:]),
    "memoryviews": lambda tmp: Chunks(memoryview(CONTENT)),
    "bytearrays": lambda tmp: Chunks(bytearray(CONTENT)),
}


@pytest.mark.parametrize("form", FORMS)
def test_content_of_every_form_arrives_byte_for_byte(
    storage: TahoeStorage, on_grid: ReadBack, tmp_path: Path, form: str
) -> None:
    content = FORMS[form](tmp_path)
    storage.save("a.bin", content)
    assert not getattr(content, "closed", False)
    if hasattr(content, "close"):
        content.close()
    assert on_grid() == {"a.bin": CONTENT}


def test_text_arrives_as_utf8(storage: TahoeStorage, on_grid: ReadBack) -> None:
    text = "Åland 🐟\n" * 20
    storage.save("short", ContentFile("é"))
    storage.save("long", ContentFile(text))
    storage.save("mixed", Chunks("é" * 40, b"\x00" * 40))
    assert on_grid() == {
        "short": "é".encode(),
        "long": text.encode(),
        "mixed": ("é" * 40).encode() + b"\x00" * 40,
    }


@pytest.mark.parametrize("size", [0, 1, 55, 56, 57, 65_535, 65_536, 1 << 20])
def test_content_of_every_size_arrives(
    storage: TahoeStorage, on_grid: ReadBack, size: int
) -> None:
    content = os.urandom(size)
    for name, step in (("whole", 1 << 30), ("in pieces", max(1, size // 50))):
        chunks = [content[i : i + step] for i in range(0, size, step)]
        storage.save(name, Chunks(*chunks))
    assert on_grid() == {"whole": content, "in pieces": content}


@pytest.mark.parametrize("size", [0, 55])
def test_content_up_to_55_bytes_is_not_sent_as_a_file(
    far: TahoeStorage, proxy: Proxy, size: int
) -> None:
    far.save("a", ContentFile(b"x" * size))
    assert [seen.method for seen in proxy.seen] == ["GET", "POST"]


def test_a_chunk_of_many_mebibytes_arrives(
    storage: TahoeStorage, on_grid: ReadBack
) -> None:
    content = os.urandom(1 << 20) * 12
    storage.save("a", Chunks(content))
    assert on_grid() == {"a": content}


def test_content_is_sent_once_and_in_one_piece(far: TahoeStorage, proxy: Proxy) -> None:
    content = Chunks(*[CONTENT[:10_000]] * 3)
    far.save("a", content)
    (put,) = [seen for seen in proxy.seen if seen.method == "PUT"]
    assert (put.sent, content.begun) == (30_000, 1)


@pytest.mark.parametrize(
    ("count", "told"), [(1, "10000"), (3, "30000"), (104, "1040000"), (105, None)]
)
def test_the_length_of_small_content_is_told_beforehand(
    far: TahoeStorage, proxy: Proxy, on_grid: ReadBack, count: int, told: str | None
) -> None:
    chunks = [CONTENT[:10_000]] * count
    far.save("a", Chunks(*chunks))
    (put,) = [seen for seen in proxy.seen if seen.method == "PUT"]
    assert (put.headers.get("content-length"), put.sent) == (told, count * 10_000)
    assert on_grid() == {"a": b"".join(chunks)}


# What may happen on the way


def is_put(seen: Seen) -> bool:
    return seen.method == "PUT"


@pytest.mark.parametrize("action", [LoseResponse(), Refuse()], ids=["lost", "refused"])
def test_an_upload_without_a_response_is_sent_again_whole(
    far: TahoeStorage, proxy: Proxy, on_grid: ReadBack, action: LoseResponse | Refuse
) -> None:
    proxy.rule(is_put, action, times=2)
    file = io.BytesIO(CONTENT)
    file.seek(5)
    assert far.save("a", file) == "a"
    last = [seen for seen in proxy.seen if is_put(seen)][2]
    assert last.sent == len(CONTENT)
    assert on_grid() == {"a": CONTENT}


def test_an_upload_that_never_is_answered_fails_and_leaves_no_entry(
    far: TahoeStorage, proxy: Proxy, on_grid: ReadBack, root: Cap
) -> None:
    proxy.rule(is_put, LoseResponse(), times=None)
    with pytest.raises(GatewayUnreachable, match="photos/a: no response") as caught:
        far.save("photos/a", ContentFile(CONTENT))
    assert sum(map(is_put, proxy.seen)) == 3
    assert_hides_caps(caught.value, root)
    assert on_grid() == {}


def test_content_that_can_not_be_read_twice_is_not_sent_twice(
    far: TahoeStorage, proxy: Proxy, on_grid: ReadBack
) -> None:
    proxy.rule(is_put, LoseResponse())
    content = Chunks(CONTENT)
    with pytest.raises(GatewayUnreachable, match="a: no response"):
        far.save("a", content)
    assert content.begun == 1
    assert on_grid() == {}


def test_the_wait_for_a_response_grows_with_what_was_sent(
    make_storage: MakeStorage, proxy: Proxy, on_grid: ReadBack
) -> None:
    slow = make_storage(
        base_url=proxy.url, read_timeout=4, min_rate=len(CONTENT) // 30, retries=0
    )
    proxy.rule(is_put, Stall(5))
    slow.save("a", ContentFile(CONTENT))
    proxy.rule(is_put, Stall(30))
    with pytest.raises(GatewayTimeout, match=r"b: .*in time") as caught:
        slow.save("b", ContentFile(CONTENT[:100]))
    assert isinstance(caught.value, TimeoutError)
    assert on_grid() == {"a": CONTENT}


def test_the_body_may_be_taken_more_slowly_than_a_connection_is_made(
    make_storage: MakeStorage, proxy: Proxy, on_grid: ReadBack
) -> None:
    slow = make_storage(base_url=proxy.url, connect_timeout=0.2, retries=0)
    proxy.rule(is_put, StallRequest(0.8, after=1000))
    content = CONTENT * 20
    slow.save("a", ContentFile(content))
    assert on_grid() == {"a": content}


ERRORS = [
    ValueError("a fault of the caller's"),
    OSError("the disk is gone"),
    TimeoutError("somebody else is late"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    requests.ConnectionError("the place it comes from hung up"),
    requests.exceptions.ChunkedEncodingError("it was cut there"),
    KeyboardInterrupt(),
    SystemExit(3),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_reading_the_content_raises_comes_through_and_leaves_no_entry(
    storage: TahoeStorage, on_grid: ReadBack, error: BaseException
) -> None:
    for before in ([CONTENT[:1]], [CONTENT[:100]], [CONTENT] * 5):
        with pytest.raises(type(error)) as caught:
            storage.save("a", Chunks(*before, error))
        assert caught.value is error
    assert on_grid() == {}
    assert storage.save("a", ContentFile(CONTENT)) == "a"
    assert on_grid() == {"a": CONTENT}


def test_content_that_failed_once_is_not_sent_again_though_it_could_be(
    storage: TahoeStorage,
) -> None:
    times = iter([OSError("a bad moment"), None])

    class Moody(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 2_000_000 and (error := next(times)):
                raise error
            return super().read(size)

    with requests_sent() as sent, pytest.raises(OSError, match="a bad moment"):
        storage.save("a", Moody(CONTENT * 10))
    assert sent.verbs == ["GET", "PUT"]


def test_the_content_may_begin_anew_as_often_as_it_is_asked_for() -> None:
    body = UploadBody(lambda: [b"x" * 50, b"y" * 50], repeatable=True)
    assert body.literal() is None
    for _ in range(3):
        assert b"".join(body.begin()) == b"x" * 50 + b"y" * 50


MEMORY = """
import hashlib, json, os, sys
import django
from django.conf import settings
settings.configure()
django.setup()
from tahoestorage.storage import TahoeStorage

MIB = 1 << 20
job = json.load(sys.stdin)
storage = TahoeStorage(**job["options"])


class Content:
    def __init__(self, size):
        self.size, self.digest = size, hashlib.sha256()

    def chunks(self, chunk_size=None):
        block = os.urandom(MIB)
        for number in range(self.size // MIB):
            chunk = number.to_bytes(8, "big") + block[8:]
            self.digest.update(chunk)
            yield chunk


def memory(of):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(of))


def there_and_back(size):
    content, digest = Content(size), hashlib.sha256()
    name = storage.save("large", content)
    with storage.open(name) as file:
        for chunk in file.chunks():
            digest.update(chunk)
    assert digest.digest() == content.digest.digest()


there_and_back(4 * MIB)
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # VmHWM begins anew.
before = memory("VmRSS")
there_and_back(64 * MIB)
print(memory("VmHWM") - before)
"""


def test_memory_does_not_grow_with_the_file(tahoe_grid: LocalGrid, root: Cap) -> None:
    options = {
        "base_url": tahoe_grid.base_url,
        "base_cap": root.uri,
        "cache": False,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", MEMORY],
        input=json.dumps({"options": options}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 16 * 1024
