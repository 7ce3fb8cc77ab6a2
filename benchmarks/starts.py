"""What a process takes to start: the import, and Django with the cache opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row, at_most
from tahoestorage.testing.grid import LocalGrid

BEFORE = "BENCH_BEFORE"
"""The variable that names a work tree of an earlier build."""
ROUNDS = 20
_IMPORT = """
import time
import django.core.files.storage, requests
started = time.process_time()
import tahoestorage.storage
print(time.process_time() - started)
"""
_OPENED = """
import json, sys, time
given = json.loads(sys.stdin.read())
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 50,
    USE_TZ=True,
    INSTALLED_APPS=["tahoestorage"],
    STORAGES={
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {
                "base_url": given["base_url"],
                "base_cap": given["root"],
                "cache": {"directory": given["cache"]},
            },
        },
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        },
    },
)
import django
django.setup()
from django.core.files.storage import default_storage
default_storage.exists("none")
print(time.process_time())
"""


def imports(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """What importing the storage costs over what a site has imported anyway.

    And beside an earlier build, where BENCH_BEFORE names a work tree of one.
    """
    given = {
        "base_url": grid.base_url,
        "root": grid.create_root().uri,
        "cache": str(work / "starts"),
    }
    here = Path(__file__).parent.parent
    trees = {"ours": here}
    if before := os.environ.get(BEFORE):
        # Twice: what its two differ by is what the machine does.
        trees |= {"before": Path(before).resolve(), "again": Path(before).resolve()}
    else:
        print(f"{BEFORE} is not set: starts have no earlier build beside them")
    labels = {
        "import tahoestorage.storage, over Django's storage and requests": _IMPORT,
        "a Django process with the cache opened": _OPENED,
    }
    for label, program in labels.items():
        best = dict.fromkeys(trees, float("inf"))
        for _ in range(ROUNDS):
            for who, tree in trees.items():
                best[who] = min(best[who], _seconds(program, tree, given))
        if program == _IMPORT:
            yield at_most(label, best["ours"] * 1000, "ms", 60)
        if before:
            shown = ", ".join(f"{who} {s * 1e3:.1f} ms" for who, s in best.items())
            ratio = best["ours"] / max(best["before"], best["again"])
            yield at_most(f"{label}, in times of before", ratio, "x", 1, shown)


def _seconds(program: str, tree: Path, given: dict[str, str]) -> float:
    """Return the processor's seconds that a new process tells, with this package."""
    output = subprocess.check_output(
        [sys.executable, "-P", "-c", program],
        input=json.dumps(given).encode(),
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    return float(output)
