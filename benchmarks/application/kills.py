"""The web process killed at random moments of uploads and deletes: a fault run.

No row may say stored without its bytes, and after a sweep no bytes may be without a
row, nor may S3 keep parts of an upload that nobody ends. The tests do a handful; this
does a hundred, on a disk, a grid or S3, on SQLite or PostgreSQL.
Half of the uploads are resumable ones (tus), with ``--in-parts``.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings

from benchmarks.application.uploads import store
from tests.application import postgres
from tests.application.kills import run
from tests.application.site import bare_environment


def main(arguments: Sequence[str]) -> int:
    """Print what was left; 0 if nothing lies and nothing is without a row."""
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="%(default)s")
    parser.add_argument("--store", choices=("files", "grid", "s3"), default="files")
    parser.add_argument("--postgresql", action="store_true", help="not SQLite")
    parser.add_argument(
        "--in-parts", action="store_true", help="tus, every second time"
    )
    parser.add_argument("--seed", type=int, default=1, help="%(default)s")
    given = parser.parse_args(arguments)
    settings.configure(SECRET_KEY=secrets.token_hex(), USE_TZ=True)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = bare_environment(work)
        if given.store != "files":
            kind = "tahoe" if given.store == "grid" else "s3"
            variables, _make = stack.enter_context(store(kind, work))
            cache = str(work / "cache")
            environment |= {"TAHOE_STORAGE_CACHE_DIRECTORY": cache} | variables
        if given.postgresql:
            server = stack.enter_context(postgres.running())
            environment["DATABASE_URL"] = server.make_database(postgres.TABLES)
        result = run(
            environment, work, given.kills, given.seed, is_in_parts=given.in_parts
        )
    print(
        f"{given.store}: {result.kills} kills, {result.acknowledged} uploads and "
        f"{result.deleted} deletes acknowledged, {result.resumed} in parts went "
        f"on; {result.after['stored']} versions at the end"
    )
    figures = {
        "rows that say stored without their bytes": result.before["broken"],
        "the same after the sweep": result.after["broken"],
        "bytes without a row before the sweep": result.before["without a row"],
        "bytes without a row after it": result.after["without a row"],
        "uploads in parts that nobody ended before it": result.before["unfinished"],
        "the same after it": result.after["unfinished"],
        "acknowledged uploads that were lost": result.lost,
        "rows after it that are not stored": [None] * result.after["not stored"],
        "figures of the quota that are not right": [
            found
            for found, right in zip(
                result.after["used"], (result.after["sum"], 0, 0), strict=True
            )
            if found != right
        ],
    }
    for label, found in figures.items():
        print(f"{len(found):6} {label}")
    wrong = [found for label, found in figures.items() if "before" not in label]
    return 1 if any(wrong) else 0
