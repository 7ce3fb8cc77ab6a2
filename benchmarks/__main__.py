"""``python -m benchmarks``: measure, print a table, and write the same as JSON.

With ``--compare`` nothing is measured: two files of figures are shown side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings

from benchmarks.comparison import read_run, side_by_side


def main() -> None:
    """Run all measurements; the exit status is 0 whether bounds are met or not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", default="bench.json", help="where the figures go")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="BEFORE",
        help="measure nothing: print the figures in this file beside those in --json",
    )
    arguments = parser.parse_args()
    if arguments.compare is not None:
        try:
            runs = read_run(arguments.compare), read_run(Path(arguments.json))
        except ValueError as error:
            parser.error(str(error))
        print(*side_by_side(*runs), sep="\n")
        return
    settings.configure(
        USE_TZ=True,
        SECRET_KEY=secrets.token_hex(),
        INSTALLED_APPS=["tahoestorage"],
    )
    django.setup()

    from benchmarks import (
        checks,
        contents,
        copies,
        downloads,
        firstsaves,
        huge,
        large,
        manysaves,
        objects,
        proxy,
        readers,
        small,
        starts,
        twogateways,
    )
    from benchmarks.rows import Row
    from tahoestorage.testing.grid import LocalGrid

    measurements = (
        small.lookups,
        small.deep_lookups,
        small.many_names,
        small.first_passes,
        small.large_directory,
        huge.huge_directory,
        small.cold_lookup,
        readers.cold_listings,
        contents.hot_content,
        contents.dead_gateway,
        small.saves,
        manysaves.many_saves,
        firstsaves.first_saves,
        firstsaves.crowds,
        copies.copies,
        twogateways.two_gateways,
        starts.imports,
        large.transfers,
        proxy.public_downloads,
        downloads.downloads,
        objects.object_lookups,
        objects.gcs_lookups,
        objects.object_saves,
        objects.object_transfers,
        objects.object_copies,
        objects.object_static_files,
        checks.checks,
    )
    rows: list[Row] = []
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    python = f"Python {platform.python_version()}, Django {django.__version__}"
    print(f"On {machine}, {python}; one storage server, loopback.\n")
    print(f"{'what':<64} {'value':>10} {'must be':>9}   {'':6} beside")
    with tempfile.TemporaryDirectory() as work, LocalGrid() as grid:
        for measurement in measurements:
            if arguments.only not in measurement.__name__:
                continue
            for row in measurement(grid, Path(work)):
                rows.append(row)
                met = "met" if row.met else "MISSED"
                value = f"{row.value:.2f} {row.unit}"
                print(
                    f"{row.label:<64} {value:>10} {row.bound:>9}   {met:6} "
                    f"{row.beside}",
                    flush=True,
                )
    written = {
        "machine": machine,
        "python": python,
        "rows": [row.as_json() for row in rows],
    }
    Path(arguments.json).write_text(json.dumps(written, indent=1) + "\n")
    missed = sum(not row.met for row in rows)
    print(f"\n{len(rows) - missed} met, {missed} missed; written to {arguments.json}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
