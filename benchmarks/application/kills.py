"""The web process killed at random moments of uploads and deletes: a fault run.

No row may say stored without its bytes, and after a sweep no bytes may be without a
row. The tests do a handful; this does a hundred, on a disk or a grid.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tahoestorage.testing.grid import LocalGrid
from tests.application.kills import run
from tests.application.site import bare_environment


def main(arguments: Sequence[str]) -> int:
    """Print what was left; 0 if nothing lies and nothing is without a row."""
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="%(default)s")
    parser.add_argument("--store", choices=("files", "grid"), default="files")
    parser.add_argument("--seed", type=int, default=1, help="%(default)s")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = bare_environment(work)
        if given.store == "grid":
            grid = stack.enter_context(LocalGrid(work / "grid"))
            cap = work / "root.cap"
            cap.write_text(grid.create_root().uri)
            environment |= {
                "TAHOE_STORAGE_BASE_URL": grid.base_url,
                "TAHOE_STORAGE_BASE_CAP_FILE": str(cap),
                "TAHOE_STORAGE_CACHE_DIRECTORY": str(work / "cache"),
            }
        result = run(environment, work, given.kills, given.seed)
    print(
        f"{result.kills} kills, {result.acknowledged} uploads and {result.deleted} "
        f"deletes acknowledged, {result.after['stored']} versions at the end"
    )
    figures = {
        "rows that say stored without their bytes": result.before["broken"],
        "the same after the sweep": result.after["broken"],
        "bytes without a row before the sweep": result.before["without a row"],
        "bytes without a row after it": result.after["without a row"],
        "acknowledged uploads that were lost": result.lost,
    }
    for label, found in figures.items():
        print(f"{len(found):6} {label}")
    wrong = [found for label, found in figures.items() if "before" not in label]
    return 1 if any(wrong) else 0
