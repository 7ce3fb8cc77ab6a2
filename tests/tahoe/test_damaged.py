"""A file of which the grid has lost a segment: what is sound comes, and then the end.

The gateway then says "problem during download" where the content should go on, and
leaves a connection that is kept alive silent for a minute. All clients here wait for
some seconds: who waits for the rest is told of a time-out, and not of the damage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from django.core.files.base import ContentFile
from django.test import RequestFactory

from tahoestorage.exceptions import DamagedDownload
from tahoestorage.serving import serve
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.support.checked_sites import shares
from tests.support.nginx_server import public_proxy
from tests.support.proxy import Proxy

MIB = 1 << 20
SIZE = 3 * MIB
# Within the second of three segments.
WHERE = 3 * MIB // 2


@pytest.fixture
def storage(tahoe_grid: LocalGrid, proxy: Proxy, tmp_path: Path) -> TahoeStorage:
    return TahoeStorage(
        base_url=proxy.url,
        base_cap=tahoe_grid.create_root().uri,
        read_timeout=8.0,
        cache={"directory": str(tmp_path / "cache")},
    )


@pytest.fixture
def direct(tahoe_grid: LocalGrid, tmp_path: Path) -> TahoeStorage:
    """A storage with a file of which a part is lost."""
    storage = TahoeStorage(
        base_url=tahoe_grid.base_url,
        base_cap=tahoe_grid.create_root().uri,
        read_timeout=8.0,
        cache={"directory": str(tmp_path / "cache")},
    )
    content = os.urandom(SIZE)
    storage.save("a.bin", ContentFile(content))
    cap = Cap.parse(storage._entry("a.bin")[1].reference)
    (share,) = shares(tahoe_grid, cap)
    with share.open("r+b") as file:
        file.seek(WHERE)
        file.write(bytes(1000))
    return storage


def in_blocks(storage: TahoeStorage) -> Iterator[bytes]:
    with storage.open("a.bin") as file:
        yield from file.chunks()


def served(storage: TahoeStorage) -> Iterator[bytes]:
    response = serve(RequestFactory().get("/"), storage, "a.bin")
    with closing(response):
        yield from response.streaming_content  # type: ignore[attr-defined]


def from_the_middle(storage: TahoeStorage) -> Iterator[bytes]:
    with storage.open("a.bin") as file:
        file.seek(MIB // 2)
        yield file.read()


READERS = {
    "read": lambda storage: iter([storage.open("a.bin").read()]),
    "chunks": in_blocks,
    "serve": served,
    "after a seek": from_the_middle,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_lost_segment_ends_a_download_at_once(
    direct: TahoeStorage, read: Callable[[TahoeStorage], Iterator[bytes]]
) -> None:
    sound: list[int] = []
    with pytest.raises(DamagedDownload, match=r"a\.bin"):
        sound.extend(len(block) for block in read(direct))
    assert sum(sound) < SIZE


def test_a_file_of_one_segment_keeps_its_connection(
    storage: TahoeStorage, proxy: Proxy
) -> None:
    """Whatever is lost of it is known before its response begins."""
    names = [storage.save(f"{n}", ContentFile(os.urandom(1 << 17))) for n in range(5)]
    assert [len(storage.open(name).read()) for name in names] == [1 << 17] * 5
    before = proxy.connections
    assert before <= 2
    for name in names:
        storage.open(name).read()
    assert proxy.connections == before


def test_what_was_lost_of_a_small_file_is_told_by_the_status(
    storage: TahoeStorage, tahoe_grid: LocalGrid
) -> None:
    storage.save("small", ContentFile(os.urandom(1 << 17)))
    cap = Cap.parse(storage._entry("small")[1].reference)
    (share,) = shares(tahoe_grid, cap)
    with share.open("r+b") as file:
        file.seek(1 << 16)
        file.write(bytes(1000))
    with pytest.raises(OSError, match=r"small: .*shares"):
        storage.open("small").read()


def test_an_end_like_the_gateway_s_words_is_content_if_it_is_there_again(
    storage: TahoeStorage, proxy: Proxy
) -> None:
    """A last segment that short may be lost, and the body is as long all the same."""
    contents = [os.urandom(MIB) + end for end in (b"problem", b"problems")]
    names = [storage.save(f"{n}", ContentFile(each)) for n, each in enumerate(contents)]
    proxy.clear()
    assert [storage.open(name).read() for name in names] == contents
    assert len(proxy.seen) == 3


def test_words_like_the_gateway_s_are_content(proxy: Proxy) -> None:
    content = (os.urandom(MIB) + b"problem during download\n") * 2
    with closing(Gateway(proxy.url)) as gateway:
        cap = gateway.upload(
            UploadBody(lambda: [content], repeatable=True), label="a log"
        )
        with gateway.fetch(cap, label="a log") as response:
            assert response.content == content


# For visitors

# It begins in a sound segment, and ends within the lost one.
PARTS = {"slice 1m": "slice 1536k"}
SHORT = 1 << 16


def put(grid: LocalGrid, content: bytes, query: str = "") -> Cap:
    """Upload a file that may be mutable; return its read cap."""
    response = requests.put(f"{grid.base_url}/uri{query}", data=content, timeout=60)
    response.raise_for_status()
    return Cap.parse(response.text).read_only


@pytest.mark.parametrize(("query", "status"), [("", 503), ("?format=mdmf", 200)])
def test_a_lost_segment_ends_what_a_visitor_gets_at_once(
    tahoe_grid: LocalGrid, tmp_path: Path, query: str, status: int
) -> None:
    """Of what never changes a part is passed on when all of it is there."""
    cap = put(tahoe_grid, os.urandom(SIZE), query)
    (share,) = shares(tahoe_grid, cap)
    with share.open("r+b") as file:
        file.seek(WHERE)
        file.write(bytes(1000))
    with public_proxy(tmp_path, tahoe_grid.base_url, "--mutable", instead=PARTS) as it:
        # Its own time limit is a minute.
        url = f"{it.url}/named/{quote(cap.uri, safe='')}/a.bin"
        with requests.get(url, stream=True, timeout=50) as response:
            assert response.status_code == status
            if status == 200:
                with pytest.raises(requests.exceptions.ChunkedEncodingError):
                    response.content  # noqa: B018


def test_visitors_of_short_files_share_connections_to_the_gateway(
    tahoe_grid: LocalGrid, proxy: Proxy, tmp_path: Path
) -> None:
    caps = [put(tahoe_grid, os.urandom(SHORT)) for _ in range(5)]
    with public_proxy(tmp_path, proxy.url) as it:
        for cap in caps:
            url = f"{it.url}/named/{quote(cap.uri, safe='')}/a.bin"
            assert len(requests.get(url, timeout=60).content) == SHORT
    assert len(proxy.seen) == 5
    assert proxy.connections < 5
