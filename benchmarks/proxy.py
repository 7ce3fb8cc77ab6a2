"""A file from the cache of the read-only proxy, beside one from nginx's own disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from benchmarks.large import MIB, curl
from benchmarks.rows import Row, at_least, best_of_each
from tahoestorage.testing.grid import LocalGrid
from tests.support.nginx_server import NGINX, configuration, running
from tests.support.ports import free_port

SIZE = 256 * MIB


def public_downloads(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """What the proxy passes on of a file that it has fetched before."""
    if NGINX is None or shutil.which("curl") is None:
        print("The proxy is not measured: it takes nginx and curl", file=sys.stderr)
        return
    directory = work / "proxy"
    (directory / "files").mkdir(parents=True)
    port, other = free_port(), free_port()
    text = configuration(
        *("--standalone", "--listen", f"127.0.0.1:{port}"),
        TAHOE_STORAGE_BASE_URL=grid.base_url,
        TAHOE_PUBLIC_BASE_URL=f"http://127.0.0.1:{port}",
    )
    disk = f"server {{ listen 127.0.0.1:{other}; root files; access_log off; }}\n}}"
    text = text.rstrip().removesuffix("}") + disk
    source = directory / "files/file.bin"
    source.write_bytes(os.urandom(SIZE))
    cap = curl("-T", str(source), f"{grid.base_url}/uri").decode().strip()
    urls = {
        "proxy": f"http://127.0.0.1:{port}/named/{quote(cap, safe='')}/file.bin",
        "disk": f"http://127.0.0.1:{other}/file.bin",
    }

    def fetch(who: str) -> None:
        curl("-o", str(directory / who), urls[who])

    with running(directory, text, port):
        for who in urls:
            fetch(who)
            if (directory / who).read_bytes() != source.read_bytes():
                raise RuntimeError(f"another file came from the {who}")
        calls = {
            who: partial(curl, "-o", "/dev/null", url) for who, url in urls.items()
        }
        best = best_of_each(calls, rounds=8)
    rates = {who: SIZE / MIB / taken for who, taken in best.items()}
    beside = f"{rates['proxy']:.0f} MiB/s, disk {rates['disk']:.0f} MiB/s"
    label = "256 MiB from the proxy's cache, in times of nginx's own disk"
    yield at_least(label, rates["proxy"] / rates["disk"], "x", 0.8, beside)
