"""Many threads that want one listing at once, beside one that wants it alone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import requests

from benchmarks.rows import Row, at_most
from benchmarks.small import storage_on
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent

# How many threads read of how many names, and how often that is tried.
CROWDS = ((20, 20_000, 2), (32, 1_000, 8))


def cold_listings(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """A cold directory that many threads ask for at once: each for its own name."""
    for readers, count, rounds in CROWDS:
        root = grid.create_root()
        names = _fill(grid, root.uri, count)
        caches = (work / f"crowd-{count}-{n}" for n in itertools.count())
        # Not measured: the gateway has read the directory once before either.
        _read(storage_on(grid, root, next(caches)), names[:1])
        sent = {1: 0, readers: 0}
        best = {1: float("inf"), readers: float("inf")}
        for _ in range(rounds):
            for many in best:
                # A cache that nobody has written to: what it reads is cold.
                storage = storage_on(grid, root, next(caches))
                with requests_sent() as seen:
                    taken = _read(storage, names[-many:])
                sent[many] = max(sent[many], len(seen))
                best[many] = min(best[many], taken)
        label = f"{readers} readers at once of {count:,} names, cold"
        beside = f"one alone: {sent[1]}"
        yield at_most(f"{label}: requests", sent[readers], "", 1, beside)
        beside = f"{best[readers]:.2f} s, one alone {best[1]:.2f} s"
        ratio = best[readers] / best[1]
        yield at_most(f"{label}, in times of one alone", ratio, "x", 1.5, beside)


def _fill(grid: LocalGrid, root: str, count: int) -> list[str]:
    """Put so many names into a directory by one request, and return them."""
    names = [f"{number:05}.txt" for number in range(count)]
    child = ["filenode", {"ro_uri": "URI:LIT:nbswy3dp", "metadata": {}}]
    address = f"{grid.base_url}/uri/{quote(root, safe='')}?t=set_children"
    body = json.dumps(dict.fromkeys(names, child))
    requests.post(address, data=body, timeout=600).raise_for_status()
    return names


def _read(storage: TahoeStorage, names: list[str]) -> float:
    """Return the seconds until a thread for each name, all at once, has found it."""
    barrier = threading.Barrier(len(names) + 1)

    def read(name: str) -> bool:
        barrier.wait()
        return storage.exists(name)

    with ThreadPoolExecutor(len(names)) as threads:
        found = [threads.submit(read, name) for name in names]
        barrier.wait()
        started = time.perf_counter()
        there = [each.result() for each in found]
        taken = time.perf_counter() - started
    if not all(there):
        raise RuntimeError("a name that is there was not found")
    return taken
