"""Small files whose contents are kept on disk, and reads while a gateway is down."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage

from benchmarks.rows import Row, at_most, best_of_each, seconds
from benchmarks.small import storage_on
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent

NAME = "photos/thumbnail.jpg"


def hot_content(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """A file of 10 KB that is opened and read again and again."""
    content = secrets.token_bytes(10_000)
    cache = work / "contents"
    kept = storage_on(grid, grid.create_root(), cache, content_size_limit=8 << 20)
    files = FileSystemStorage(work / "contents-files")
    for storage in (kept, files):
        storage.save(NAME, ContentFile(content))

    def read(storage: Storage) -> None:
        with storage.open(NAME) as file:
            if file.read() != content:
                raise RuntimeError("another content was read")

    read(kept)
    with requests_sent() as sent:
        taken = best_of_each(
            {"kept": lambda: read(kept), "files": lambda: read(files)}, rounds=500
        )
    yield at_most("open and read of a hot file of 10 kB: requests", len(sent), "", 0)
    beside = (
        f"{taken['kept'] * 1e6:.0f} us, FileSystemStorage {taken['files'] * 1e6:.0f} us"
    )
    ratio = taken["kept"] / taken["files"]
    text = "open and read of a hot file of 10 kB, x FileSystemStorage"
    yield at_most(text, ratio, "x", 6, beside)


CONNECT_TIMEOUT = 2.0


@contextlib.contextmanager
def deaf_server() -> Iterator[str]:
    """Yield the URL of a server whose queue of connections is full."""
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def dead_gateway(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Files that are read while the first of two gateways takes no connection."""
    root = grid.create_root()
    writer = storage_on(grid, root, work / "dead")
    names = [f"{number}/file.bin" for number in range(10)]
    for name in names:
        writer.save(name, ContentFile(secrets.token_bytes(10_000)))

    def read(*base_urls: str) -> None:
        storage = TahoeStorage(
            base_url=base_urls,
            base_cap=root.uri,
            cache=False,
            connect_timeout=CONNECT_TIMEOUT,
        )
        for name in names:
            with storage.open(name) as file:
                file.read()

    alive = seconds(lambda: read(grid.base_url))
    with deaf_server() as deaf:
        first = seconds(lambda: read(deaf, grid.base_url))
        second = seconds(lambda: read(deaf, grid.base_url))
    beside = f"{first:.1f} s; 10 more {second:.1f} s; with both there {alive:.1f} s"
    text = "10 reads with the first gateway dead, in connect time-outs"
    waited = (first - alive) / CONNECT_TIMEOUT
    yield at_most(text, waited, "x", 1.5, beside)
