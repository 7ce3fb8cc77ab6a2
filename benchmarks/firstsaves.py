"""A first save into directories that are not there, on servers that are far away."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from django.core.files.base import ContentFile

from benchmarks.plots.distant import distant_servers
from benchmarks.rows import Row, at_most, median_of_each
from benchmarks.small import LEVELS, storage_on
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

ROUND_TRIP = 0.04


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
