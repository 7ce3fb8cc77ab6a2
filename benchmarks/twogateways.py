"""A folder onto a grid through two gateways, beside one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import requests
from django.core.files.storage import FileSystemStorage

from benchmarks.rows import Row, at_least, at_most, seconds
from tahoestorage.moving.resolve import store_of
from tahoestorage.moving.run import Plan, Run
from tahoestorage.progress import Progress
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

FILES, DIRECTORIES, ROUNDS = 2_000, 20, 2
BYTES = 10_000


def uploads(url: str) -> int:
    """Return how many files a gateway has uploaded since its start."""
    counted = requests.get(f"{url}/statistics?t=json", timeout=60).json()["counters"]
    return int(counted.get("uploader.files_uploaded", 0))


def copy_folder(grid: LocalGrid, urls: list[str], work: Path) -> float:
    """Copy new files into a new root through these gateways; return the seconds."""
    for number in range(FILES):
        path = work / "from" / f"{number % DIRECTORIES}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(BYTES))
    target = TahoeStorage(
        base_url=urls,
        base_cap=grid.create_root().uri,
        cache={"directory": str(work / "cache")},
    )
    source = FileSystemStorage(str(work / "from"))
    run = Run(Plan(store_of(source), store_of(target)), Progress(lambda line: None))
    taken = seconds(run.carry_out)
    if run.summary.status != "done":
        raise RuntimeError(run.summary.text(dry_run=False))
    return taken


def two_gateways(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """What each of them takes of the uploads, and how long all takes."""
    del grid
    with LocalGrid(servers=1, gateways=2) as both:
        urls = list(both.base_urls)
        one, two, shares = [], [], []
        for number in range(ROUNDS):
            one.append(copy_folder(both, urls[:1], work / f"one-gateway-{number}"))
            before = [uploads(url) for url in urls]
            two.append(copy_folder(both, urls, work / f"two-gateways-{number}"))
            taken = [uploads(u) - b for u, b in zip(urls, before, strict=True)]
            shares.append(min(taken) / sum(taken) * 100)
    label = "of a copy through two gateways, the lesser one's share of uploads"
    yield at_least(label, min(shares), "%", 40, f"{FILES} files of 10 kB")
    ratio = sorted(two)[ROUNDS // 2] / sorted(one)[ROUNDS // 2]
    beside = f"{sorted(two)[1]:.1f} s, through one {sorted(one)[1]:.1f} s"
    label = "the same, in times of a copy through one gateway"
    yield at_most(label, ratio, "x", 1.1, beside)
