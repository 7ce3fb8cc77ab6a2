"""A first save into directories that are not there, on servers that are far away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.core.files.base import ContentFile

from benchmarks.plots.distant import distant_servers
from benchmarks.rows import Row, at_most, median_of_each
from benchmarks.small import LEVELS, storage_on
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

ROUND_TRIP = 0.04
ROUNDS, WRITERS = 20, 64


def first_saves(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Six levels deep, beside the same without directories made during the upload."""
    del grid
    with distant_servers(ROUND_TRIP) as distant:
        root = distant.create_root()
        ahead, after = (
            storage_on(distant, root, work / f"first-{name}")
            for name in ("ahead", "after")
        )
        after.links.preparations.is_on = False
        for storage in (ahead, after):
            storage.save("known", ContentFile(secrets.token_bytes(10_000)))

        def save(storage: TahoeStorage) -> None:
            here = "/".join(f"{level}-{secrets.token_hex(4)}" for level in LEVELS[:5])
            storage.save(f"{here}/file", ContentFile(secrets.token_bytes(10_000)))

        taken = median_of_each(
            {"ahead": lambda: save(ahead), "after": lambda: save(after)}, rounds=5
        )
    beside = f"{taken['ahead'] * 1e3:.0f} ms, else {taken['after'] * 1e3:.0f} ms"
    ratio = taken["ahead"] / taken["after"]
    label = "first save 6 levels deep, 40 ms off, in times of none ahead"
    yield at_most(label, ratio, "x", 0.6, beside)


def crowds(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Many first saves at once under a prefix that is new in each round.

    What counts as lost is what a storage without a cache does not give back: it looks
    when all have been acknowledged.
    """
    root = grid.create_root()
    storage = storage_on(grid, root, work / "crowds")
    fresh = TahoeStorage(base_url=grid.base_url, base_cap=root.uri, cache=False)
    lost, taken = 0, []

    def save(name: str) -> str:
        return storage.save(name, ContentFile(name.encode() * 9))

    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(ROUNDS):
            where = "/".join((f"{number}-{secrets.token_hex(4)}", *LEVELS[1:5]))
            names = [f"{where}/{writer}" for writer in range(WRITERS)]
            started = time.perf_counter()
            saved = [*pool.map(save, names)]
            taken.append(time.perf_counter() - started)
            there = set(fresh.listdir(where)[1])
            lost += sum(name.rpartition("/")[2] not in there for name in saved)
            for name in (saved[0], saved[-1]):
                with fresh.open(name) as file:
                    lost += file.read() != name.encode() * 9
    beside = f"{ROUNDS} rounds, median {sorted(taken)[ROUNDS // 2]:.1f} s"
    label = f"{WRITERS} first saves at once, 6 levels deep, {ROUNDS} times: lost"
    yield at_most(label, lost, "", 0, beside)
