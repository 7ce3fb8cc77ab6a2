"""A file of 1 GiB, up and down, beside curl."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from django.core.files.base import File

from benchmarks.rows import Row, at_least, seconds
from benchmarks.small import storage_on
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

MIB = 1 << 20
SIZE = 1024 * MIB
ROUNDS = 4


def make_file(path: Path) -> None:
    """Write a file whose content was never on the grid before, down to the disk."""
    block = bytearray(secrets.token_bytes(MIB))
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            block[:8] = number.to_bytes(8, "big")
            file.write(block)
    # Or its writing would go on below the upload that is measured.
    os.sync()


def curl(*arguments: str) -> bytes:
    """Run curl; the URL comes by standard input, for it is a cap."""
    *options, url = arguments
    run = subprocess.run(
        ["curl", "-sS", "--fail", *options, "-K", "-"],
        input=f'url = "{url}"\n'.encode(),
        capture_output=True,
        check=True,
    )
    return run.stdout


def transfers(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """1 GiB up and down, beside curl."""
    if shutil.which("curl") is None:
        print("curl is not installed: 1 GiB is not compared with it", file=sys.stderr)
        return
    storage = storage_on(grid, grid.create_root(), work / "large-file")
    source = work / "source.bin"
    up = {"ours": float("inf"), "curl": float("inf")}
    down = dict(up)
    name, cap = "", ""
    for number in range(ROUNDS):
        # By turns, for the disk remembers what it was given before.
        for who in sorted(up, reverse=bool(number % 2)):
            make_file(source)
            started = time.perf_counter()
            if who == "ours":
                with source.open("rb") as file:
                    name = storage.save(f"{number}.bin", File(file))
            else:
                cap = curl("-T", str(source), f"{grid.base_url}/uri").decode().strip()
            up[who] = min(up[who], time.perf_counter() - started)
    get = f"{grid.base_url}/uri/{quote(cap, safe='')}"
    for _ in range(ROUNDS):
        down["curl"] = min(down["curl"], seconds(partial(curl, "-o", "/dev/null", get)))
        down["ours"] = min(down["ours"], seconds(partial(drain, storage, name)))
    source.unlink()
    for label, taken in (("up", up), ("down", down)):
        rate = SIZE / MIB / taken["ours"]
        beside = f"{rate:.0f} MiB/s, curl {SIZE / MIB / taken['curl']:.0f} MiB/s"
        ratio = taken["curl"] / taken["ours"]
        yield at_least(
            f"1 GiB {label}, in times of curl's rate", ratio, "x", 0.95, beside
        )


def drain(storage: TahoeStorage, name: str) -> None:
    """Read a file to its end, as a view that streams it does."""
    with storage.open(name) as file:
        for _ in file.chunks():
            pass
