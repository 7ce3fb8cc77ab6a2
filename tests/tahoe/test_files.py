"""Reading files from the grid: lazily, by ranges, and never anything but the file."""

from __future__ import annotations

import contextlib
import gc
import gzip
import io
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.core.files.base import ContentFile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    GatewayTimeout,
    NotEnoughShares,
    UnexpectedResponse,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.files import FileReader
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.large_files import archive, picture
from tests.support.leaks import assert_hides_caps
from tests.support.proxy import CutBody, Proxy, Seen, SendResponse, Stall

KIB, MIB = 1 << 10, 1 << 20
CONTENT = random.Random(1).randbytes(2 * MIB + 3)
LARGE = 64 * MIB
# Around literals, blocks of reading, and Tahoe's segments.
SIZES = [0, 1, 55, 56, 57, 65_535, 65_536, 65_537, 131_072, 131_073, len(CONTENT)]


def large_part(first: int, length: int) -> bytes:
    """A part of the large file, in which each MiB begins with its own number."""
    numbers = range(first // MIB, (first + length) // MIB + 1)
    whole = b"".join(number.to_bytes(8, "big") + CONTENT[8:MIB] for number in numbers)
    return whole[first % MIB :][:length]


pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture(scope="module")
def direct(tahoe_grid: LocalGrid) -> Iterator[Gateway]:
    with contextlib.closing(Gateway(tahoe_grid.base_url)) as gateway:
        yield gateway


def put(gateway: Gateway, *chunks: bytes) -> Cap:
    body = UploadBody(lambda: chunks, repeatable=True)
    literal = body.literal()
    return gateway.upload(body, label="") if literal is None else literal_cap(literal)


@pytest.fixture(scope="module")
def caps(direct: Gateway) -> dict[int, Cap]:
    """Files of many sizes, of the same first bytes."""
    return {size: put(direct, CONTENT[:size]) for size in SIZES}


@pytest.fixture(scope="module")
def large(direct: Gateway) -> Cap:
    """A file of 64 MiB."""
    body = UploadBody(
        lambda: (large_part(n * MIB, MIB) for n in range(64)), repeatable=True
    )
    return direct.upload(body, label="")


@pytest.fixture
def gateway(proxy: Proxy) -> Iterator[Gateway]:
    with contextlib.closing(Gateway(proxy.url, read_timeout=10, retries=0)) as gateway:
        yield gateway


def reading(
    gateway: Gateway, cap: Cap, again: Callable[[], Cap | None] | None = None
) -> io.BufferedReader:
    """Open a file as the storage does."""
    return io.BufferedReader(FileReader(gateway, cap, "a.jpg", None, again), 64 * KIB)


def anything(seen: Seen) -> bool:
    return True


# Like any other file

SEEKS = st.tuples(
    st.just("seek"),
    st.sampled_from([0, 1, 55, 56, 65_536, 131_072, 10**6, len(CONTENT), 10**8])
    | st.integers(0, len(CONTENT) + 10),
    st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END]),
    st.sampled_from([1, -1]),
)
READS = st.tuples(
    st.sampled_from(["read", "read1", "readinto", "peek", "readline"]),
    st.sampled_from([0, 1, 100, 65_535, 65_536, 65_537, 300_000])
    | st.integers(0, 10_000),
)
STEPS = st.lists(
    SEEKS | READS | st.tuples(st.sampled_from(["tell", "read all"])), max_size=12
)


def do(file: Any, step: tuple[Any, ...]) -> object:
    verb, *arguments = step
    if verb == "seek":
        offset, whence, sign = arguments
        try:
            return file.seek(offset if whence == os.SEEK_SET else sign * offset, whence)
        except (ValueError, OSError):
            return "refused"
    if verb == "readinto":
        buffer = bytearray(arguments[0])
        return file.readinto(buffer), buffer
    if verb == "read all":
        return file.read()
    return getattr(file, verb)(*arguments)


def check(file: io.BufferedReader, twin: io.BytesIO, steps: Any) -> None:
    for step in steps:
        if step[0] in ("read1", "peek"):
            # They may give less than is asked for, and never nothing before the end.
            position = twin.tell()
            got = do(file, step)
            assert isinstance(got, bytes)
            assert twin.getvalue()[position:].startswith(got)
            assert got or step[1] == 0 or position >= len(twin.getvalue())
            if step[0] == "read1":
                twin.seek(position + len(got))
        elif step[0] == "seek" and step[2] != os.SEEK_SET:
            # BytesIO goes to 0 where a file refuses to go before it.
            base = twin.tell() if step[2] == os.SEEK_CUR else len(twin.getvalue())
            target = base + step[3] * step[1]
            expected = twin.seek(target) if target >= 0 else "refused"
            assert do(file, step) == expected
        else:
            assert do(file, step) == do(twin, step)
        assert file.tell() == twin.tell()


@settings(max_examples=80, deadline=None)
@given(size=st.sampled_from(SIZES), steps=STEPS)
def test_any_seeking_and_reading_is_as_of_bytes_in_memory(
    direct: Gateway, caps: dict[int, Cap], size: int, steps: Any
) -> None:
    with reading(direct, caps[size]) as file:
        check(file, io.BytesIO(CONTENT[:size]), steps)


@settings(max_examples=30, deadline=None)
@given(size=st.sampled_from(SIZES), data=st.data())
def test_the_reader_without_a_buffer_gives_the_right_bytes_too(
    direct: Gateway, caps: dict[int, Cap], size: int, data: st.DataObject
) -> None:
    with FileReader(direct, caps[size], "a") as reader:
        for _ in range(data.draw(st.integers(1, 6))):
            first = reader.seek(data.draw(st.integers(0, size + 3)))
            wanted = data.draw(st.integers(1, 200_000))
            got = reader.read(wanted)
            assert CONTENT[first:size].startswith(got)
            assert got or first >= size
            assert reader.tell() == first + len(got)
        assert reader.size == size


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_every_size_is_read_whole(
    direct: Gateway, caps: dict[int, Cap], size: int
) -> None:
    with reading(direct, caps[size]) as file:
        assert file.read() == CONTENT[:size]
        assert (file.read(), file.read(10)) == (b"", b"")
        file.seek(0)
        assert b"".join(iter(lambda: file.read(10_001), b"")) == CONTENT[:size]


def test_zip_archives_are_read_where_they_are(
    storage: TahoeStorage, proxy: Proxy, make_storage: MakeStorage
) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as writing:
        for number in range(3):
            writing.writestr(f"{number}.bin", CONTENT)
        writing.writestr("readme.txt", "x" * 1000)
    storage.save("a.zip", content)
    slow = make_storage(base_url=proxy.url)
    with slow.open("a.zip") as file, zipfile.ZipFile(file) as zipped:
        assert len(zipped.namelist()) == 4
        assert zipped.read("readme.txt") == b"x" * 1000
        assert sum(seen.received for seen in proxy.seen) < MIB
        assert zipped.read("1.bin") == CONTENT
        assert zipped.testzip() is None


def test_images_are_read_where_they_are(storage: TahoeStorage) -> None:
    image = Image.frombytes("RGB", (600, 400), CONTENT[: 600 * 400 * 3])
    for kind in ("PNG", "JPEG", "TIFF"):
        data = io.BytesIO()
        image.save(data, kind)
        name = storage.save(f"a.{kind.lower()}", data)
        with storage.open(name) as file, Image.open(file) as found:
            assert (found.format, found.size) == (kind, (600, 400))
            if kind == "PNG":
                assert found.tobytes() == image.tobytes()
            found.load()


def test_text_is_read_line_by_line(storage: TahoeStorage) -> None:
    lines = [f"Zeile {number}: Größe 🐟\n" for number in range(20_000)]
    storage.save("a.txt", ContentFile("".join(lines)))
    with storage.open("a.txt", "r") as file:
        assert list(file) == lines
        file.seek(0)
        assert file.read() == "".join(lines)


@pytest.mark.parametrize("name", ["a.gz", "a.tar.bz2", "a.svgz", "a.Z", "a.html"])
def test_packed_files_come_back_byte_for_byte(storage: TahoeStorage, name: str) -> None:
    content = gzip.compress(b"packed " * 1000)
    storage.save(name, ContentFile(content))
    with storage.open(name) as file:
        assert file.read() == content
    assert storage.size(name) == len(content)


def test_what_a_server_between_calls_packed_is_not_unpacked(
    proxy: Proxy, gateway: Gateway, direct: Gateway
) -> None:
    content = gzip.compress(CONTENT[:1000])
    proxy.rule(anything, SendResponse(200, {"Content-Encoding": "gzip"}, content))
    with reading(gateway, put(direct, content)) as file:
        assert file.read() == content


def test_a_closed_file_is_not_read(direct: Gateway, caps: dict[int, Cap]) -> None:
    reader = FileReader(direct, caps[65_536], "a")
    reader.close()
    reader.close()
    for use in (reader.read, reader.readall, lambda: reader.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_what_is_no_way_to_seek_is_refused(
    direct: Gateway, caps: dict[int, Cap]
) -> None:
    with FileReader(direct, caps[65_536], "a.jpg") as reader:
        with pytest.raises(ValueError, match=r"a\.jpg': there is nothing before"):
            reader.seek(-1)
        with pytest.raises(ValueError, match=r"a\.jpg': whence is 0, 1 or 2"):
            reader.seek(0, 3)
        assert reader.readinto(bytearray()) == 0
        assert (reader.readable(), reader.seekable(), reader.writable()) == (
            True,
            True,
            False,
        )


# What it costs


def test_nothing_is_asked_for_before_something_is_read(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap]
) -> None:
    with reading(gateway, caps[65_536]) as file:
        assert file.seek(0, os.SEEK_END) == 65_536
        assert file.seek(-10, os.SEEK_CUR) == file.tell() == 65_526
        assert file.read(0) == b""
        file.seek(70_000)
        assert file.read() == b""
    assert proxy.seen == []


def test_a_literal_needs_no_request(gateway: Gateway, proxy: Proxy) -> None:
    with reading(gateway, literal_cap(b"x" * 55)) as file:
        file.seek(50)
        assert file.read() == b"xxxxx"
    assert proxy.seen == []


@pytest.mark.parametrize("step", [-1, 1000, 65_536, 1_000_000])
def test_a_read_from_start_to_end_is_one_request(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap], step: int
) -> None:
    with reading(gateway, caps[len(CONTENT)]) as file:
        assert b"".join(iter(lambda: file.read(step), b"")) == CONTENT
    (seen,) = proxy.seen
    assert "range" not in seen.headers
    assert seen.received == len(CONTENT)


def test_a_kibibyte_far_inside_a_large_file_costs_little(
    proxy: Proxy, gateway: Gateway, large: Cap
) -> None:
    with reading(gateway, large) as file:
        file.seek(60 * MIB + 5)
        assert file.read(KIB) == large_part(60 * MIB + 5, KIB)
    proxy.settle()
    assert len(proxy.seen) == 1
    assert proxy.seen[0].received <= 512 * KIB


def test_reading_on_after_a_seek_takes_few_requests_of_growing_length(
    proxy: Proxy, gateway: Gateway, large: Cap
) -> None:
    first = 48 * MIB
    with reading(gateway, large) as file:
        file.seek(first)
        for position in range(first, LARGE, MIB):
            assert file.read(MIB) == large_part(position, MIB)
        assert file.read(1) == b""
    lengths = [seen.received for seen in proxy.seen]
    assert sum(lengths) == LARGE - first
    assert len(lengths) <= 8
    assert lengths[:3] == [256 * KIB, 512 * KIB, MIB]


@pytest.mark.parametrize("known", [True, False])
def test_a_member_of_an_archive_takes_three_requests(
    storage: TahoeStorage, proxy: Proxy, make_storage: MakeStorage, known: bool
) -> None:
    content, member = archive(2_000_000)
    storage.save("a.zip", ContentFile(content))
    slow = make_storage(base_url=proxy.url, cache={} if known else False)
    if known:
        slow.size("a.zip")
    proxy.settle()
    before = len(proxy.seen)
    with slow.open("a.zip") as file, zipfile.ZipFile(file) as opened:
        assert opened.read("10.bin") == member
    proxy.settle()
    assert len(proxy.seen) - before == 3 - known


def test_frames_of_a_picture_take_few_requests(
    storage: TahoeStorage, proxy: Proxy, make_storage: MakeStorage
) -> None:
    content, frames = picture()
    storage.save("a.tiff", ContentFile(content))
    slow = make_storage(base_url=proxy.url)
    with slow.open("a.tiff") as file, Image.open(file) as opened:
        for number, frame in enumerate(frames):
            opened.seek(number)
            assert opened.tobytes() == frame
    proxy.settle()
    assert len(proxy.seen) <= 6, [seen.headers.get("range") for seen in proxy.seen]


def test_a_short_way_forward_is_no_new_request(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap]
) -> None:
    with reading(gateway, caps[len(CONTENT)]) as file:
        for position in range(0, len(CONTENT), 60_000):
            file.seek(position)
            assert file.read(10) == CONTENT[position : position + 10]
    assert len(proxy.seen) == 1


def closed(file: io.BufferedReader) -> None:
    file.close()


def dropped(file: io.BufferedReader) -> None:
    pass


@pytest.mark.parametrize("end", [closed, dropped])
def test_a_reader_that_ends_half_way_gives_its_connection_up(
    proxy: Proxy,
    gateway: Gateway,
    large: Cap,
    caps: dict[int, Cap],
    end: Callable[[io.BufferedReader], None],
) -> None:
    file = reading(gateway, large)
    assert file.read(10) == large_part(0, 10)
    end(file)
    del file
    gc.collect()
    proxy.settle()
    assert proxy.seen[0].received < LARGE / 2
    with reading(gateway, caps[56]) as other:
        assert other.read() == CONTENT[:56]


def test_many_readers_at_once_do_not_disturb_each_other(
    gateway: Gateway, large: Cap, caps: dict[int, Cap]
) -> None:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(reading(gateway, large)) for _ in range(20)]
        for number, file in enumerate(files):
            file.seek(number * MIB)
        for step in range(3):
            for number, file in enumerate(files):
                assert file.read(KIB) == large_part(number * MIB + step * KIB, KIB)


# Never anything but the file


@contextlib.contextmanager
def damaged(*caps: Cap) -> Iterator[None]:
    with pytest.raises(DamagedDownload, match=r"^a\.jpg: ") as caught:
        yield
    assert isinstance(caught.value, OSError)
    assert_hides_caps(caught.value, *caps)


@pytest.mark.parametrize("step", [-1, 100_000, 1_000_000])
@pytest.mark.parametrize("after", [0, 100_000, len(CONTENT) - 1])
def test_a_download_that_is_cut_is_an_error_and_leaves_no_gap(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap], after: int, step: int
) -> None:
    cap = caps[len(CONTENT)]
    proxy.rule(anything, CutBody(after))
    held = b""
    with reading(gateway, cap) as file:
        with damaged(cap):
            while some := file.read(step):
                held += some
        assert CONTENT.startswith(held)
        # What a buffer lost with the error must not be passed over in silence.
        for _ in range(2):
            with damaged(cap):
                file.read(step)
        file.seek(len(held))
        assert file.read() == CONTENT[len(held) :]


def test_a_range_that_is_cut_can_be_read_again_from_there(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap]
) -> None:
    cap = caps[len(CONTENT)]
    proxy.rule(anything, CutBody(1000))
    with FileReader(gateway, cap, "a.jpg") as reader:
        reader.seek(MIB)
        with damaged(cap):
            reader.readall()
        assert reader.tell() == MIB
        reader.seek(MIB)
        assert reader.readall() == CONTENT[MIB:]


def test_a_download_that_stalls_is_an_error_of_the_file(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap]
) -> None:
    proxy.rule(anything, Stall(30, after=1000))
    hasty = Gateway(gateway.base_url, read_timeout=4, retries=0)
    with contextlib.closing(hasty), reading(hasty, caps[65_536]) as file:
        with pytest.raises(GatewayTimeout, match=r"^a\.jpg: "):
            file.read()
        file.seek(0)
        assert file.read() == CONTENT[:65_536]


PAGE = b"<html>please log in</html>"
WHOLE = CONTENT[:65_537]
NOT_THE_FILE = {
    "a page": SendResponse(200, {}, PAGE),
    "nothing": SendResponse(200, {}, b""),
    "less": SendResponse(200, {}, WHOLE[:-1]),
    "more": SendResponse(200, {}, WHOLE + b"x"),
    "more in chunks": SendResponse(200, {}, [WHOLE, b"x"]),
    "less in chunks": SendResponse(200, {}, [WHOLE[:-1]]),
    "less than it says": SendResponse(200, {"Content-Length": "65537"}, WHOLE[:-1]),
    "other length": SendResponse(200, {"Content-Length": "65536"}, WHOLE[:-1]),
    "length of nonsense": SendResponse(200, {"Content-Length": "9" * 30}, WHOLE),
    "none of it": SendResponse(416, {}, b""),
    "a part of it": SendResponse(206, {"Content-Range": "bytes 0-9/65537"}, WHOLE[:10]),
    "a part": SendResponse(206, {"Content-Range": "bytes 1-65536/65537"}, WHOLE[1:]),
}


@pytest.mark.parametrize("response", NOT_THE_FILE.values(), ids=NOT_THE_FILE)
def test_what_is_not_the_file_is_never_taken_for_it(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap], response: SendResponse
) -> None:
    cap = caps[65_537]
    held = b""
    proxy.rule(anything, response)
    with reading(gateway, cap) as file:
        if response.status == 206 and response.body == WHOLE[:10]:
            # A part is a part: the rest is asked for.
            assert file.read() == WHOLE
            return
        with damaged(cap):
            while some := file.read(10_000):
                held += some
        assert WHOLE.startswith(held)
        file.seek(0)
        assert file.read() == WHOLE


def test_what_follows_the_last_byte_is_noticed_at_the_end(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap]
) -> None:
    cap = caps[65_536]
    proxy.rule(anything, SendResponse(200, {}, [CONTENT[:65_536], b"x"]))
    with reading(gateway, cap) as file, damaged(cap):
        file.read()


def part(says: str, body: bytes, status: int = 206) -> SendResponse:
    return SendResponse(status, {"Content-Range": says}, body)


FIRST, LAST = MIB, MIB + 256 * KIB - 1
PART = CONTENT[FIRST : LAST + 1]
SPAN = f"bytes {FIRST}-{LAST}/{len(CONTENT)}"
NOT_THE_PART = {
    "all of it": SendResponse(200, {}, CONTENT),
    "the start": part(f"bytes 0-{len(PART) - 1}/{len(CONTENT)}", CONTENT[: len(PART)]),
    "one too late": part(f"bytes {FIRST + 1}-{LAST}/{len(CONTENT)}", PART[1:]),
    "of another file": part(f"bytes {FIRST}-{LAST}/{len(CONTENT) + 1}", PART),
    "no span": SendResponse(206, {}, PART),
    "span of nonsense": part("bytes x-y/z", PART),
    "span of many digits": part(f"bytes {FIRST}-{'9' * 5000}/{len(CONTENT)}", PART),
    "no total": part(f"bytes {FIRST}-{LAST}/*", PART),
    "too short": part(SPAN, PART[:-1]),
    "too long": part(SPAN, PART + b"x"),
    "too long in chunks": SendResponse(206, {"Content-Range": SPAN}, [PART, b"x"]),
    "no part": SendResponse(416, {}, b""),
}


@pytest.mark.parametrize("response", NOT_THE_PART.values(), ids=NOT_THE_PART)
def test_what_is_not_the_part_is_never_taken_for_it(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap], response: SendResponse
) -> None:
    cap = caps[len(CONTENT)]
    held = b""
    proxy.rule(anything, response)
    with reading(gateway, cap) as file:
        file.seek(FIRST)
        with damaged(cap):
            while some := file.read(10_000):
                held += some
        assert CONTENT[FIRST:].startswith(held)
        file.seek(FIRST)
        assert file.read() == CONTENT[FIRST:]


# Files that change


def store(url: str, content: bytes | str) -> str:
    """Store as another tool does, and return the gateway's response."""
    response = requests.put(url, data=content, timeout=30)
    response.raise_for_status()
    return response.text


@pytest.fixture(params=["SDMF", "MDMF"])
def mutable(request: pytest.FixtureRequest, tahoe_grid: LocalGrid, root: Cap) -> Cap:
    """A mutable file in the root, made by other tools; its write cap."""
    url = f"{tahoe_grid.base_url}/uri"
    text = store(f"{url}?format={request.param}", CONTENT[:200_000])
    store(f"{url}/{root.uri}/changing.bin?t=uri", text)
    return Cap.parse(text)


def test_a_mutable_file_is_read_and_its_url_can_only_read(
    storage: TahoeStorage, mutable: Cap
) -> None:
    assert mutable.is_writable
    assert storage.size("changing.bin") == 200_000
    with storage.open("changing.bin") as file:
        assert file.read(1000) == CONTENT[:1000]
        assert file.size == 200_000
        file.seek(-50, os.SEEK_END)
        assert file.read() == CONTENT[199_950:200_000]
        file.seek(150_000)
        assert file.read(10) == CONTENT[150_000:150_010]
    with storage.open("changing.bin") as file:
        file.seek(300_000)
        assert file.read() == b""
        file.seek(199_999)
        assert file.read() == CONTENT[199_999:200_000]
    quoted = quote(mutable.read_only.uri, safe="")
    assert storage.url("changing.bin") == (
        f"http://files.example/named/{quoted}/changing.bin"
    )


def test_a_mutable_file_is_read_as_it_is_now(
    storage: TahoeStorage, tahoe_grid: LocalGrid, mutable: Cap
) -> None:
    for content in (CONTENT[:100], b"", CONTENT[:300_000]):
        with storage.open("changing.bin") as file:
            file.read(10)
        store(f"{tahoe_grid.base_url}/uri/{mutable.uri}", content)
        with storage.open("changing.bin") as file:
            assert file.read() == content
        with storage.open("changing.bin") as file:
            assert file.seek(0, os.SEEK_END) == len(content)
            assert file.read() == b""


def test_a_mutable_file_that_changes_between_its_parts_is_an_error(
    gateway: Gateway, tahoe_grid: LocalGrid, mutable: Cap
) -> None:
    with reading(gateway, mutable.read_only) as file:
        file.seek(100_000)
        assert file.read(10) == CONTENT[100_000:100_010]
        store(f"{tahoe_grid.base_url}/uri/{mutable.uri}", CONTENT[:150_000])
        with damaged(mutable, mutable.read_only):
            file.seek(1000)
            file.read(10)
        file.seek(0)
        assert file.read() == CONTENT[:150_000]


def test_a_length_that_is_not_told_is_found_by_reading(
    proxy: Proxy, gateway: Gateway, mutable: Cap
) -> None:
    proxy.rule(anything, SendResponse(200, {}, [CONTENT[:1000]]), times=None)
    with reading(gateway, mutable.read_only) as file:
        assert file.read(2000) == CONTENT[:1000]
    with FileReader(gateway, mutable.read_only, "a.jpg") as reader:
        with pytest.raises(UnexpectedResponse, match=r"a\.jpg: .*its length"):
            reader.seek(0, os.SEEK_END)
        assert reader.tell() == 0


GONE = {
    410: SendResponse(410, {}, b"NoSharesError: no shares could be found."),
    404: SendResponse(404, {}, b"<html>not here</html>"),
}
ERRORS = {410: NotEnoughShares, 404: FileMissing}


def content_of(cap: Cap) -> Callable[[Seen], bool]:
    path = f"/uri/{cap.uri}"
    return lambda seen: seen.method == "GET" and seen.path == path


@pytest.fixture
def stale(
    proxy: Proxy,
    make_storage: MakeStorage,
    tahoe_grid: LocalGrid,
    root: Cap,
    direct: Gateway,
) -> Callable[[bytes, int], TahoeStorage]:
    """Make a storage that knows a.jpg by a cap which is not good for anything now."""

    def make(new: bytes, status: int) -> TahoeStorage:
        storage = make_storage(base_url=proxy.url, retries=0)
        storage.save("a.jpg", ContentFile(CONTENT[:1000]))
        old = put(direct, CONTENT[:1000])
        url = f"{tahoe_grid.base_url}/uri/{root.uri}/a.jpg"
        store(f"{url}?t=uri&replace=true", put(direct, new).uri)
        proxy.clear()
        proxy.rule(content_of(old), GONE[status], times=None)
        return storage

    return make


def listings(proxy: Proxy) -> int:
    return sum("t=json" in seen.target for seen in proxy.seen)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("new", [CONTENT[:2000], b"now it is short", CONTENT[1:1001]])
def test_a_cap_that_is_no_good_any_more_is_looked_up_afresh_once(
    stale: Callable[[bytes, int], TahoeStorage], proxy: Proxy, new: bytes, status: int
) -> None:
    storage = stale(new, status)
    with storage.open("a.jpg") as file:
        assert file.read() == new
        file.seek(5)
        assert file.read() == new[5:]
    assert storage.size("a.jpg") == len(new)
    assert listings(proxy) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_cap_that_is_still_the_same_is_no_good(
    stale: Callable[[bytes, int], TahoeStorage], proxy: Proxy, status: int
) -> None:
    storage = stale(CONTENT[:1000], status)
    with storage.open("a.jpg") as file:
        for _ in range(2):
            file.seek(0)
            with pytest.raises(ERRORS[status], match=r"^a\.jpg: ") as caught:
                file.read()
            assert_hides_caps(caught.value)
    assert listings(proxy) == 1


def test_the_new_file_is_not_read_by_the_length_of_the_old_one(
    stale: Callable[[bytes, int], TahoeStorage],
) -> None:
    storage = stale(CONTENT[:2000], 410)
    with storage.open("a.jpg") as file:
        assert file.seek(-10, os.SEEK_END) == 990
        with pytest.raises(NotEnoughShares):
            file.read()
    with storage.open("a.jpg") as file:
        assert file.seek(-10, os.SEEK_END) == 1990
        assert file.read() == CONTENT[1990:2000]


def test_the_new_file_does_not_go_on_where_the_old_one_was(
    proxy: Proxy, gateway: Gateway, caps: dict[int, Cap], direct: Gateway
) -> None:
    old = caps[len(CONTENT)]
    other = put(direct, CONTENT[1:] + b"x")
    with reading(gateway, old, lambda: other) as file:
        assert file.read(10) == CONTENT[:10]
        proxy.rule(content_of(old), GONE[410], times=None)
        file.seek(MIB)
        with pytest.raises(NotEnoughShares):
            file.read()
