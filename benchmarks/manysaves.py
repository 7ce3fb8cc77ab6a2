"""Many small files into one directory by one call, beside one by one."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile

from benchmarks.huge import MIB, memory_line
from benchmarks.rows import Row, at_least, at_most, seconds
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

FEW, MANY = 1_000, 10_000
BYTES = 5_000
HUNDRED = 100
GROWTH = 32
"""MiB that the process may grow by. The contents alone have 48."""

_CHILD = """
import json, sys
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, INSTALLED_APPS=["tahoestorage"])
import django
django.setup()
from benchmarks.manysaves import measure
print(json.dumps(measure(json.loads(sys.stdin.read()))))
"""


def many_saves(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Files of 5 KB into one directory by one call, in a process of its own.

    A save takes the longer the more files there are, in a straight line. So the mean of
    100 saves into a new directory, and of 100 into one of 10,000, stands for all.
    """
    given = {
        "base_url": grid.base_url,
        "base_cap": grid.create_root().uri,
        "cache": {"directory": str(work / "many")},
    }
    run = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found = json.loads(run.stdout)
    single = MANY * (found["start"] + found["end"]) / 2
    beside = (
        f"{found['many']:.0f} s; one by one {single:.0f} s: "
        f"{found['start'] * 1e3:.0f} ms each at first, "
        f"{found['end'] * 1e3:.0f} ms at last, as means of 100"
    )
    text = "save_many of 10,000 files into one directory, x one by one"
    yield at_least(text, single / found["many"], "x", 60, beside)
    text = "10,000 files by save_many, in times of 1,000"
    beside = f"1,000 in {found['few']:.1f} s"
    yield at_most(text, found["many"] / found["few"], "x", 13, beside)
    text = "10,000 files of 5 KB by save_many: growth of the process"
    yield at_most(text, found["grown"] / MIB, "MiB", GROWTH)


def measure(given: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each way, and by how many bytes the process has grown.

    One by one they are those of a file. Memory is that of all that is saved by
    ``save_many``, beside that of a process which has saved one file.
    """
    storage = TahoeStorage(**given)

    def some(directory: str, count: int) -> None:
        names = [f"{directory}/{number}.bin" for number in range(count)]
        pairs = ((name, ContentFile(secrets.token_bytes(BYTES))) for name in names)
        if [*storage.save_many(pairs)] != names:
            raise RuntimeError("not all got the names that were asked for")

    def one_by_one(directory: str) -> None:
        for _ in range(HUNDRED):
            name = f"{directory}/{secrets.token_hex(8)}.bin"
            storage.save(name, ContentFile(secrets.token_bytes(BYTES)))

    storage.save("new/first.bin", ContentFile(secrets.token_bytes(BYTES)))
    before = memory_line("VmRSS")
    few = seconds(partial(some, "few", FEW))
    many = seconds(partial(some, "many", MANY))
    grown = memory_line("VmHWM") - before
    return {
        "few": few,
        "many": many,
        "grown": grown,
        "start": seconds(partial(one_by_one, "new")) / HUNDRED,
        "end": seconds(partial(one_by_one, "many")) / HUNDRED,
    }
