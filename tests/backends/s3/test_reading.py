"""Reading from S3: lazily, by ranges, of one and the same object, counted."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import random
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage
from django.test import RequestFactory
from PIL import Image
from urllib3.exceptions import HTTPError

from tahoestorage.backends.objectreader import READ_AHEAD, ObjectReader
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.backends.s3.errors import Place
from tahoestorage.backends.s3.objects import S3Body
from tahoestorage.backends.unpacked import Unpacked
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import DamagedDownload, FileMissing, StoreUnreachable
from tahoestorage.parts import Part
from tahoestorage.serving import serve
from tests.support.large_files import archive, picture
from tests.support.moves import moved
from tests.support.proxy import CutBody, Proxy, Refuse, Seen, SendResponse
from tests.support.s3_servers import S3Server, s3_requests
from tests.support.s3_storages import MakeS3, head, read, save

MIB = 1 << 20


@pytest.fixture
def proxy(moto: S3Server) -> Iterator[Proxy]:
    """A proxy before moto."""
    with Proxy(moto.endpoint_url) as proxy:
        yield proxy


def is_get(seen: Seen) -> bool:
    return seen.method == "GET"


# Requests


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [1, 10_000, READ_AHEAD])
def test_a_small_file_is_one_request(make_s3: MakeS3, size: int, known: bool) -> None:
    content = os.urandom(size)
    save(make_s3(), "a", content)
    storage = make_s3(cache=False if not known else None)
    if known:
        storage = make_s3()
        assert storage.size("a") == size
    with s3_requests(storage) as sent:
        assert read(storage, "a") == content
    assert [*map(str, sent)] == ["GET a"]


def test_opening_what_is_known_asks_nothing(s3: S3Storage) -> None:
    save(s3, "a", b"x" * 100)
    with s3_requests(s3) as sent, s3.open("a") as file:
        assert file.size == 100
        file.seek(-10, os.SEEK_END)
        assert file.tell() == 90
    assert sent == []


def test_reading_tells_the_cache(s3: S3Storage, make_s3: MakeS3) -> None:
    save(make_s3(cache=False), "a", b"x" * 100)
    assert read(s3, "a") == b"x" * 100
    with s3_requests(s3) as sent:
        assert s3.size("a") == 100
        assert s3.exists("a")
        s3.get_modified_time("a")
    assert sent == []


def test_a_byte_of_a_large_file_fetches_little(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    class Zeros:
        name = "zeros"

        def chunks(self) -> Iterator[bytes]:
            for _ in range(64):
                yield bytes(MIB)

    make_strict_s3()._save("big", Zeros())
    with Proxy(weed.endpoint_url) as proxy:
        storage = make_strict_s3(endpoint_url=proxy.url, cache=False)
        with storage.open("big") as file:
            assert file.size == 64 * MIB
            assert file.read(1) == b"\0"
            file.seek(60 * MIB)
            assert file.read(1) == b"\0"
        proxy.settle()
    asked = [seen.headers["range"] for seen in proxy.seen]
    assert len(asked) == 2
    for each in asked:
        first, last = each.removeprefix("bytes=").split("-")
        assert int(last) - int(first) < MIB
    assert all(seen.received <= MIB for seen in proxy.seen)


def test_ranges_in_a_row_grow(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3()
    content = os.urandom(9 * MIB)
    save(storage, "big", content)
    with s3_requests(storage) as sent, storage.open("big") as file:
        assert b"".join(file.chunks()) == content
    assert len(sent) == 5
    # All after the first are of the same object.
    assert [("if-match" in each.headers) for each in sent] == [False] + [True] * 4


def test_any_seeks_and_reads_are_right(s3: S3Storage) -> None:
    content = os.urandom(3 * MIB)
    save(s3, "a", content)
    reference = io.BytesIO(content)
    chance = random.Random(5)
    with s3.open("a") as file:
        for _ in range(60):
            place = chance.choice([0, chance.randrange(3 * MIB + 10), file.tell() + 9])
            length = chance.choice([0, 1, 10, 70_000, 400_000, 2 * MIB])
            assert file.seek(place) == reference.seek(place)
            assert file.read(length) == reference.read(length)
        assert file.seek(0, os.SEEK_END) == len(content)
        assert file.read() == b""


# Edges


def test_an_empty_file_is_read(s3: S3Storage, make_s3: MakeS3) -> None:
    save(s3, "empty", b"")
    for storage in (s3, make_s3(cache=False)):
        with storage.open("empty") as file:
            assert file.read() == b""
            assert file.size == 0
            file.seek(5)
            assert file.read(1) == b""


def test_beyond_the_end_there_is_nothing(make_s3: MakeS3) -> None:
    storage = make_s3(cache=False)
    save(storage, "a", b"12345")
    reader = storage._reader("a")
    assert isinstance(reader, Unpacked)
    reader = reader._stored
    again = ObjectReader(reader._fetch, "a")
    again.seek(1000)
    assert again.read(1) == b""
    assert again.size == 5
    again.seek(3)
    assert again.read() == b"45"


def test_a_file_that_was_replaced_is_not_read_on(make_s3: MakeS3) -> None:
    content = os.urandom(2 * MIB)
    storage = make_s3()
    save(storage, "a", content)
    for other in (os.urandom(2 * MIB), b"short", None):
        with storage.open("a") as file:
            assert file.read(READ_AHEAD) == content[:READ_AHEAD]
            rival = make_s3(allow_overwrite=True)
            if other is None:
                rival.delete("a")
            else:
                save(rival, "a", other)
            with pytest.raises((DamagedDownload, FileMissing), match="a: "):
                file.read()
            # What is already here cannot be mixed with the rest.
            with pytest.raises((DamagedDownload, FileMissing)):
                file.read()
        save(rival, "a", content)


def test_a_store_that_ignores_conditions_and_ranges(
    make_s3: MakeS3, proxy: Proxy
) -> None:
    save(make_s3(), "a", b"x" * (2 * MIB))
    storage = make_s3(endpoint_url=proxy.url, cache=False)
    headers = {"ETag": '"other"', "Content-Range": f"bytes 524288-1572863/{2 * MIB}"}
    with storage.open("a") as file:
        file.read(READ_AHEAD)
        proxy.rule(is_get, SendResponse(206, headers, bytes(MIB)))
        with pytest.raises(DamagedDownload, match="replaced"):
            file.read(1)
    proxy.rule(is_get, SendResponse(200, {"ETag": '"e"'}, b"whole of it"))
    with storage.open("a") as file:
        assert file.read() == b"whole of it"
    with storage.open("a") as file:
        file.seek(MIB)
        proxy.rule(is_get, SendResponse(200, {"ETag": '"e"'}, b"whole of it"))
        with pytest.raises(OSError, match="the part that was asked for"):
            file.read(1)


# Cut bodies


def test_a_body_that_was_cut_is_asked_for_again(make_s3: MakeS3, proxy: Proxy) -> None:
    content = os.urandom(2 * MIB)
    save(make_s3(), "a", content)
    storage = make_s3(endpoint_url=proxy.url, cache=False)
    for after in (0, 1, 300_000):
        proxy.clear()
        proxy.rule(is_get, CutBody(after))
        proxy.rule(is_get, CutBody(after))
        with storage.open("a") as file:
            assert file.read() == content
        assert all("if-match" in seen.headers for seen in proxy.seen[1:])


def test_a_body_that_never_comes_is_an_error(make_s3: MakeS3, proxy: Proxy) -> None:
    save(make_s3(), "a", b"x" * 1000)
    storage = make_s3(endpoint_url=proxy.url, cache=False)
    proxy.rule(is_get, CutBody(0), times=None)
    with storage.open("a") as file:
        with pytest.raises(StoreUnreachable, match="a: "):
            file.read(1)
        asked = len(proxy.seen)
        with pytest.raises(DamagedDownload, match="seek"):
            file.read(1)
        assert len(proxy.seen) == asked
        proxy.clear()
        file.seek(0)
        assert file.read(1) == b"x"


def test_a_store_that_goes_away_is_not_asked_over_and_over(
    make_s3: MakeS3, proxy: Proxy
) -> None:
    from botocore.config import Config

    save(make_s3(), "a", b"x" * (2 * MIB))
    addressing: Any = {"addressing_style": "path"}
    config = Config(s3=addressing, retries={"total_max_attempts": 1})
    storage = make_s3(endpoint_url=proxy.url, cache=False, client_config=config)
    with storage.open("a") as file:
        file.read(READ_AHEAD)
        proxy.rule(is_get, Refuse(), times=None)
        asked = len(proxy.seen)
        with pytest.raises(StoreUnreachable):
            file.read(1)
        assert len(proxy.seen) == asked + 1


class Scripted:
    """A store that sends these blocks; an error among them is raised."""

    def __init__(self, size: int, *blocks: bytes | Exception) -> None:
        self.entry = Entry(EntryKind.FILE, "etag", size)
        self.blocks = [*blocks]
        self.asked: list[int] = []

    def fetch(self, first: int, last: int, reference: str | None) -> Part:
        self.asked.append(first)
        if self.blocks and isinstance(self.blocks[0], ConnectionRefusedError):
            self.blocks.pop(0)
            raise StoreUnreachable("away")
        return Part(self.entry, self)

    def read(self, size: int, /) -> bytes:
        block = self.blocks.pop(0)
        if isinstance(block, Exception):
            raise block
        return block

    def close(self) -> None:
        pass


@pytest.mark.parametrize("tries", [1, 4])
def test_after_an_error_no_old_bytes_are_taken_for_new_ones(tries: int) -> None:
    away: list[Exception] = [StoreUnreachable("away")] * tries
    if tries == 1:
        away.append(ConnectionRefusedError())
    store = Scripted(9, b"abc", *away, b"def", b"ghi")
    reader = ObjectReader(store.fetch, "a")
    assert reader.read(3) == b"abc"
    with pytest.raises(StoreUnreachable):
        reader.read(3)
    reader.seek(3)
    assert reader.read(3) == b"def"
    assert store.asked == [0, 3, 3] + [3, 3] * (tries == 4)


def test_whatever_the_network_has_is_unreachable() -> None:
    class Stream:
        def read(self, size: int) -> bytes:
            raise HTTPError("of urllib3")

    with pytest.raises(StoreUnreachable, match="a: ") as caught:
        S3Body(Stream(), "a", Place("b", "http://127.0.0.1:1")).read(1)
    assert caught.value.__context__ is None


def test_what_ends_too_soon_each_time_is_damaged() -> None:
    store = Scripted(9, b"abc", *[b""] * 4)
    reader = ObjectReader(store.fetch, "a")
    assert reader.read(3) == b"abc"
    with pytest.raises(DamagedDownload, match="ended at byte 3"):
        reader.read(3)


# Packed files


def test_a_packed_file_is_read_unpacked(make_s3: MakeS3) -> None:
    text = "body { color: blue }\n" * 50_000
    storage = make_s3(gzip=True)
    assert save(storage, "a.css", text) == "a.css"
    save(storage, "a.bin", b"\x1f\x8b" + bytes(100))
    response = head(storage, "a.css")
    assert response["ContentEncoding"] == "gzip"
    assert response["ContentLength"] < len(text) / 50
    assert storage.size("a.css") == response["ContentLength"]
    place = {"Bucket": storage.bucket_name, "Key": "a.css"}
    raw = storage.client.get_object(**place)["Body"].read()
    assert gzip.decompress(raw) == text.encode()
    assert "ContentEncoding" not in head(storage, "a.bin")
    for each in (storage, make_s3(gzip=True, cache=False)):
        with s3_requests(each) as sent:
            assert read(each, "a.css") == text.encode()
        assert [*map(str, sent)] == ["GET a.css"]
        assert read(each, "a.bin") == b"\x1f\x8b" + bytes(100)
        with each.open("a.css", "r") as file:
            assert file.readline() == "body { color: blue }\n"
        with each.open("a.css") as file:
            assert file.size == response["ContentLength"]
            assert b"".join(file.chunks()) == text.encode()
            file.seek(len(text) - 5)
            assert file.tell() == len(text) - 5
            assert file.read() == text[-5:].encode()
            file.seek(0)
            assert file.read(4) == b"body"


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("lines", [10, 50_000])
def test_what_another_storage_has_packed_and_marked_is_read_unpacked(
    make_s3: MakeS3, lines: int, known: bool
) -> None:
    # Hardly to be packed, so that it is large as it is stored, too.
    text = "".join(f"{os.urandom(8).hex()}\n" for _ in range(lines)).encode()
    packing = make_s3(gzip=True)
    save(packing, "a.css", text.decode())
    storage = make_s3(**({} if known else {"cache": False}))
    with s3_requests(storage) as sent:
        assert read(storage, "a.css") == text
    assert [*map(str, sent)][:1] == ["GET a.css"]
    ends = [(5, 0), (-7, 2), (len(text) - 3, 0), (0, 2)]
    for offset, whence in ends:
        with storage.open("a.css") as file, io.BytesIO(text) as expected:
            for _ in range(2):
                assert file.seek(offset, whence) == expected.seek(offset, whence)
                assert file.tell() == expected.tell()
                assert file.read(9) == expected.read(9)
            assert file.seek(2) == 2
            assert file.read(4) == text[2:6]
    for headers in ({}, {"Range": "bytes=2-5"}):
        request = RequestFactory().get("/", headers=headers)
        response: Any = serve(request, storage, "a.css")
        assert response.status_code == 200
        assert b"".join(response.streaming_content) == text
    # Copies, too, wherever they are made.
    storage.copy("a.css", "copy.bin")
    memory = InMemoryStorage()
    assert moved(storage, memory).summary.status == "done"
    for each in (read(storage, "copy.bin"), read(packing, "copy.bin")):
        assert each == text
    for name in ("a.css", "copy.bin"):
        with memory.open(name) as file:
            assert file.read() == text


def test_no_other_bytes_are_read_from_the_end_of_what_is_packed(
    make_s3: MakeS3,
) -> None:
    packing, storage = make_s3(gzip=True), make_s3()
    save(packing, "a.css", b"body { }" * 1000)
    packing.copy("a.css", "a.bin")
    assert storage.size("a.bin") < 1000
    with storage.open("a.bin") as file:
        file.seek(-7, os.SEEK_END)
        with pytest.raises(io.UnsupportedOperation, match=r"a\.bin: .* packed"):
            file.read(1)
        file.seek(-7, os.SEEK_END)
        assert file.read() == b"ody { }"
        file.seek(1)
        assert file.read(3) == b"ody"


def test_to_look_for_what_is_packed_costs_no_request(make_s3: MakeS3) -> None:
    storage = make_s3()
    for name, size in (("small", 1000), ("large", 700_000), ("empty", 0)):
        content = os.urandom(size)
        save(storage, name, content)
        storage.get_modified_time(name)
        for first, whence, count in ((0, 0, -1), (size // 2, 0, 9), (-9, 2, 9)):
            if size + first < 0:
                continue
            with s3_requests(storage) as sent, storage.open(name) as file:
                position = file.seek(first, whence)
                expected = content[position:][: None if count < 0 else count]
                assert file.read(count) == expected
            # To be told that there is nothing takes two.
            assert len(sent) <= (2 if count < 0 or not size else 1)
        with s3_requests(storage) as sent:
            request = RequestFactory().head("/")
            assert serve(request, storage, name)["Content-Length"] == str(size)
        assert sent == []


def test_packing_spares_what_has_an_encoding(make_s3: MakeS3) -> None:
    parameters = {"ContentEncoding": "identity"}
    storage = make_s3(gzip=True, object_parameters=parameters)
    save(storage, "a.css", "body {}")
    assert head(storage, "a.css")["ContentLength"] == 7
    only = make_s3(gzip=True, gzip_content_types=("text/plain",))
    save(only, "b.css", "body {}")
    save(only, "b.txt", "text")
    assert head(only, "b.css")["ContentLength"] == 7
    assert head(only, "b.txt")["ContentEncoding"] == "gzip"


def test_a_packed_file_that_is_damaged_is_said_to_be(make_s3: MakeS3) -> None:
    plain, packing = make_s3(), make_s3(gzip=True)
    packed = gzip.compress(os.urandom(1000))
    for number, content in enumerate((b"no gzip", packed[:500], packed[:-4] + b"1234")):
        name = f"{number}.css"
        # As django-storages packs it, and this package did before it set marks.
        plain.client.put_object(
            Bucket=plain.bucket_name,
            Key=name,
            Body=content,
            ContentEncoding="gzip",
            ContentType="text/css",
        )
        assert read(plain, name) == content
        with pytest.raises(DamagedDownload, match=name):
            read(packing, name)


def test_a_missing_packed_file_is_missing_when_it_is_opened(make_s3: MakeS3) -> None:
    with pytest.raises(FileMissing):
        make_s3(gzip=True).open("none")


def test_only_what_the_storage_packed_is_unpacked(make_s3: MakeS3) -> None:
    plain, packing = make_s3(), make_s3(gzip=True)
    packed = gzip.compress(b"body {}")
    saved = {
        "backup.tar.gz": packed,
        "random.gz": os.urandom(1000),
        "a.svgz": packed,
        "plain.css": b"body {}",
    }
    for name, content in saved.items():
        save(packing, name, content)
    # What somebody packs himself, whatever it is called.
    by_hand = make_s3(gzip=True, object_parameters={"ContentEncoding": "gzip"})
    save(by_hand, "by-hand.css", packed)
    saved["by-hand.css"] = packed
    # What was stored before there were marks.
    client = plain.client
    for name, type_ in (("old.css", "text/css"), ("old.css.gz", "text/css")):
        client.put_object(
            Bucket=plain.bucket_name,
            Key=name,
            Body=packed,
            ContentEncoding="gzip",
            ContentType=type_,
        )
        saved[name] = b"body {}" if name == "old.css" else packed
    # A copy is of the same kind as its source, whatever it is called.
    for source, target in (
        ("old.css", "copy.gz"),
        ("plain.css", "copy-of-plain.gz"),
        ("old.css.gz", "copy.css"),
        ("by-hand.css", "copy-by-hand.css"),
    ):
        packing.copy(source, target)
        saved[target] = saved[source]
    for storage in (packing, make_s3(gzip=True, cache=False)):
        for name, content in saved.items():
            assert read(storage, name) == content, name
            response: Any = serve(RequestFactory().get("/"), storage, name)
            assert b"".join(response.streaming_content) == content, name


# Archives and pictures


@pytest.mark.parametrize("known", [True, False])
def test_a_member_of_an_archive_takes_three_requests(
    make_s3: MakeS3, known: bool
) -> None:
    content, member = archive(2_000_000)
    save(make_s3(), "a.zip", content)
    storage = make_s3(**({} if known else {"cache": False}))
    with (
        s3_requests(storage) as sent,
        storage.open("a.zip") as file,
        zipfile.ZipFile(file) as opened,
    ):
        assert opened.read("10.bin") == member
    assert len(sent) == 3 - known


def test_frames_of_a_picture_take_few_requests(make_s3: MakeS3) -> None:
    content, frames = picture()
    storage = make_s3()
    save(storage, "a.tiff", content)
    with (
        s3_requests(storage) as sent,
        storage.open("a.tiff") as file,
        Image.open(file) as opened,
    ):
        for number, frame in enumerate(frames):
            opened.seek(number)
            assert opened.tobytes() == frame
    assert len(sent) <= 6, [each.headers["range"] for each in sent]


# What another host has replaced


def _replace(storage: S3Storage, name: str, content: bytes) -> None:
    """Replace a file as another host does, of which this one's cache is not told."""
    storage.client.put_object(
        Bucket=storage.bucket_name, Key=storage.key_of(name), Body=content
    )


OLD = b"o" * 1_000_000
# Shorter and longer ones, so that the end is in other blocks or in none.
NEW = [b"", b"n" * 10, b"n" * 900_000, b"n" * 2_000_000]


@pytest.mark.parametrize("gzip_option", [False, True])
def test_what_was_replaced_is_read_to_its_own_end(
    make_s3: MakeS3, gzip_option: bool
) -> None:
    storage = make_s3(gzip=gzip_option)
    places = (0, 500_000, 999_990, 1_000_000, 1_500_000)
    for number, (new, place) in enumerate(itertools.product(NEW, places)):
        name = f"{number}.bin"
        save(storage, name, OLD)
        _replace(storage, name, new)
        with storage.open(name) as file:
            file.seek(place)
            assert file.read() == new[place:]
            assert file.seek(0, os.SEEK_END) == len(new) == file.size
            file.seek(0)
            assert b"".join(file.chunks()) == new
        assert storage.size(name) == len(new)


@pytest.mark.parametrize("gzip_option", [False, True])
def test_what_was_empty_by_the_cache_is_read_to_its_own_end(
    make_s3: MakeS3, gzip_option: bool
) -> None:
    storage = make_s3(gzip=gzip_option)
    for name in ("read", "told", "empty"):
        save(storage, name, b"")
        if name != "empty":
            _replace(storage, name, OLD)
        assert storage.size(name) == 0
    with storage.open("read") as file:
        assert file.read() == OLD
        assert file.size == len(OLD)
    with storage.open("told") as file:
        assert file.size == 0
        # Whoever relies on that is told, and given no other's bytes.
        with pytest.raises(DamagedDownload, match="open it again"):
            file.read()
    with storage.open("empty") as file, s3_requests(storage) as sent:
        assert file.read() == b""
        assert file.read() == b""
    # The store refuses the range, and tells then what the file is.
    assert [each.method for each in sent] == ["GET", "HEAD"]


@pytest.mark.parametrize("new", NEW, ids=len)
def test_where_another_size_was_told_no_other_bytes_are_read(
    make_s3: MakeS3, new: bytes
) -> None:
    storage = make_s3()
    for name in ("size", "end", "archive.zip"):
        save(storage, name, OLD)
        _replace(storage, name, new)
        with storage.open(name) as file:
            if name == "size":
                assert file.size == len(OLD)
            else:
                assert file.seek(-20, os.SEEK_END) == len(OLD) - 20
            for _ in range(2):
                with pytest.raises(DamagedDownload, match=f"{name}: .*open it again"):
                    file.read()
                file.seek(0)
        # Whoever does so is told of the new one.
        with storage.open(name) as file:
            assert file.size == len(new)
            assert file.read() == new


def test_an_end_that_was_replaced_by_an_equally_long_one_is_read(
    make_s3: MakeS3,
) -> None:
    storage = make_s3()
    save(storage, "a", OLD)
    new = os.urandom(len(OLD))
    _replace(storage, "a", new)
    with storage.open("a") as file:
        file.seek(-20, os.SEEK_END)
        assert file.read() == new[-20:]
        file.seek(0)
        assert file.read() == new


@pytest.mark.parametrize("new", NEW, ids=len)
@pytest.mark.parametrize("part", ["", "bytes=0-99", "bytes=999900-", "bytes=-7"])
def test_what_was_replaced_is_served_as_it_is_now(
    make_s3: MakeS3, new: bytes, part: str
) -> None:
    storage = make_s3()
    save(storage, "a", OLD)
    _replace(storage, "a", new)
    headers = {"Range": part} if part else {}
    request = RequestFactory().get("/", headers=headers)
    response: Any = serve(request, storage, "a")
    body = b"".join(response) if response.streaming else response.content
    if part == "bytes=999900-" and len(new) < 999_900:
        # What has no such part any more is sent, or refused, by its own size.
        assert response.status_code in (416, 200)
        assert response.get("Content-Range", f"bytes */{len(new)}").endswith(
            f"/{len(new)}"
        )
        return
    whole = {
        "": new,
        "bytes=0-99": new[:100],
        "bytes=999900-": new[999_900:],
        "bytes=-7": new[-7:],
    }[part]
    if response.status_code == 416:
        assert not new
        return
    assert body == whole
    assert response["Content-Length"] == str(len(whole))


# Packed content that is damaged


@pytest.mark.parametrize("damage", ["none of it", "cut", "checksum", "inside"])
def test_every_way_of_reading_says_that_packed_content_is_damaged(
    make_s3: MakeS3, damage: str
) -> None:
    storage = make_s3(gzip=True)
    packed = gzip.compress(b"".join(b"%d\n" % n for n in range(300_000)))
    middle = len(packed) // 2
    content = {
        "none of it": b"no gzip",
        "cut": packed[:middle],
        "checksum": packed[:-8] + b"12345678",
        "inside": packed[:middle] + b"\xff" * 4000 + packed[middle + 4000 :],
    }[damage]
    storage.client.put_object(
        Bucket=storage.bucket_name,
        Key="a.css",
        Body=content,
        ContentEncoding="gzip",
        ContentType="text/css",
    )
    ways: dict[str, Any] = {
        "read": lambda file: file.read(),
        "readline": lambda file: [*iter(file.readline, b"")],
        "iteration": lambda file: [*file],
        "chunks": lambda file: [*file.chunks()],
        "seek": lambda file: file.seek(3_000_000),
        "seek from the end": lambda file: file.seek(0, os.SEEK_END),
        "seek from here": lambda file: file.seek(3_000_000, os.SEEK_CUR),
    }
    for way, act in ways.items():
        with storage.open("a.css") as file:
            with pytest.raises(DamagedDownload, match=r"a\.css: "):
                act(file)
            if "seek" not in way:
                # Nothing is read on, as if it had been all right.
                with pytest.raises(DamagedDownload, match=r"a\.css: "):
                    file.read()
            file.seek(0)
            if damage != "none of it":
                assert file.read(4) == b"0\n1\n"
    with storage.open("a.css", "r") as text, pytest.raises(DamagedDownload):
        text.read()
    with pytest.raises(DamagedDownload):
        b"".join(serve(RequestFactory().get("/"), storage, "a.css"))


def test_what_another_storage_packed_is_served_with_no_wrong_length(
    make_s3: MakeS3,
) -> None:
    text = b"body { color: red }\n" * 1000
    save(make_s3(gzip=True), "a.css", text)
    for options in ({}, {"gzip": True}):
        storage = make_s3(**options)
        factory = RequestFactory()
        told = serve(factory.head("/"), storage, "a.css")
        assert told.status_code == 200
        assert "Content-Length" not in told
        far = factory.get("/", headers={"Range": "bytes=19000-"})
        for request in (factory.get("/"), far):
            response: Any = serve(request, storage, "a.css")
            assert response.status_code == 200
            assert b"".join(response) == text
    save(storage, "a.txt", text)
    assert serve(factory.head("/"), storage, "a.txt")["Content-Length"] == "20000"
    save(make_s3(), "plain.css", text)
    assert serve(factory.head("/"), make_s3(), "plain.css")["Content-Length"] == "20000"
