"""A file of 1 GiB, which the site allows and nginx sends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from django.core.files.base import ContentFile, File

from benchmarks.large import MIB, SIZE, make_file
from benchmarks.rows import Row, at_most
from benchmarks.small import storage_on
from tahoestorage.testing.grid import LocalGrid
from tests.support.accel_site import memory, running
from tests.support.nginx_server import NGINX


def downloads(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """How much memory the site's processes take for it."""
    if NGINX is None:
        print("nginx is not installed: it carries no downloads", file=sys.stderr)
        return
    directory = work / "accel"
    directory.mkdir()
    storage = storage_on(grid, grid.create_root(), directory / "cache")
    small = storage.save("small.bin", ContentFile(bytes(MIB)))
    source = directory / "source.bin"
    make_file(source)
    with source.open("rb") as file:
        large = storage.save("large.bin", File(file))
    source.unlink()
    with running(directory, storage, grid, grid.base_url) as (address, server):
        for name in (small, large):
            requests.head(f"{address}/media/{name}", timeout=60)
            requests.get(f"{address}/media/{small}", timeout=60)
        before, started, got = memory(server), time.perf_counter(), 0
        with requests.get(
            f"{address}/media/{large}", stream=True, timeout=60
        ) as response:
            for block in response.iter_content(MIB):
                got += len(block)
        taken = time.perf_counter() - started
        grown = (memory(server) - before) / MIB
    if got != SIZE:
        raise RuntimeError(f"{got} bytes came of {SIZE}")
    rate = f"{SIZE / MIB / taken:.0f} MiB/s"
    label = "serve by X-Accel-Redirect, 1 GiB: the site's processes grow by"
    yield at_most(label, grown, "MiB", 2, rate)
