"""``python -m benchmarks.chaos``: bring faults upon real processes, and count losses.

Processes write, read, move and delete files on a grid of four servers, of which two
suffice, while something breaks. Each acknowledged change is recorded. Afterwards a new
process with an empty cache compares all that is there with the record, and one with the
old cache must say the same. The status is 1 where anything was lost, half-written or
wrong, an error was unclear, a figure was missed, or the service did not come back; else
3 where a day could not be tried here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import django
from django.conf import settings

MOUNTS = "CHAOS_MAY_MOUNT"
NOT_TRIED = 3


def _may_mount(arguments: Sequence[str] | None) -> None:
    """Go on in a namespace of its own, where what is mounted ends with the process."""
    unshare = shutil.which("unshare")
    if MOUNTS in os.environ or unshare is None:
        return
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    start = [unshare, *mapped, "--mount"]
    if subprocess.run([*start, "true"], stderr=subprocess.DEVNULL).returncode == 0:
        given = sys.argv[1:] if arguments is None else list(arguments)
        command = [*start, sys.executable, "-m", "benchmarks.chaos", *given]
        environment = {**os.environ, MOUNTS: "1"}
        os.execvpe(unshare, command, environment)  # noqa: S606


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the days, print what came of each, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="days with this in their names, which --list says; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="say which days there are")
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("chaos.json"),
        help="where the counts go; with --only, beside those that are there "
        "(%(default)s)",
    )
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="renew the table of this page, too"
    )
    parser.add_argument(
        "--quick-nodes",
        action="store_true",
        help="start nodes, and make their directories, in a fraction of the time; for "
        "tests of this command",
    )
    given = parser.parse_args(arguments)
    settings.configure(
        USE_TZ=True,
        SECRET_KEY=secrets.token_hex(),
        INSTALLED_APPS=["tahoestorage"],
    )
    django.setup()
    logging.disable(logging.CRITICAL)

    from benchmarks.chaos.days import DAYS
    from benchmarks.chaos.outcome import DayOutcome
    from benchmarks.chaos.page import cells, table, write_page
    from benchmarks.chaos.stage import stage_on
    from tahoestorage.testing.grid import LocalGrid
    from tests.support.quick_tahoe import quick_nodes

    _may_mount(arguments)
    days = [d for d in DAYS if not given.only or any(o in d.name for o in given.only)]
    if given.list or not days:
        for day in DAYS:
            print(f"{day.name:<24} {day.title}")
        return 0 if given.list else 2
    outcomes: dict[str, DayOutcome] = {}
    if given.only and given.json.exists():
        before = json.loads(given.json.read_text("utf-8"))["days"]
        outcomes = {name: DayOutcome.of_json(found) for name, found in before.items()}
    wrong = untried = 0
    with ExitStack() as nodes, ExitStack() as grids:
        grid: LocalGrid | None = None
        tahoe = nodes.enter_context(quick_nodes()) if given.quick_nodes else None
        for number, day in enumerate(days, 1):
            print(f"{number}/{len(days)} {day.title}", flush=True)
            if day.mounts and MOUNTS not in os.environ:
                print("    not tried: nothing can be mounted here", flush=True)
                untried += 1
                continue
            started = time.monotonic()
            try:
                if grid is None:
                    grid = grids.enter_context(
                        LocalGrid(servers=4, introducer=True, tahoe=tahoe)
                    )
                with (
                    tempfile.TemporaryDirectory() as folder,
                    stage_on(grid, Path(folder)) as stage,
                ):
                    day.act(stage)
                    outcome = stage.finish()
            except Exception as error:
                outcome = DayOutcome(failed=f"{type(error).__name__}: {error}")
                print(f"    FAILED: {outcome.failed}", flush=True)
                # It may be broken: the next one gets a new one.
                grids.close()
                grid = None
            outcomes[day.name] = outcome
            wrong += not outcome.is_well
            verdict = "well" if outcome.is_well else "WRONG"
            seconds = time.monotonic() - started
            print(
                f"    {verdict}: {' | '.join(cells(outcome))} ({seconds:.0f} s)",
                flush=True,
            )
            machine = f"{platform.machine()}, {os.cpu_count()} cores"
            kept = {name: found.as_json() for name, found in outcomes.items()}
            text = json.dumps({"machine": machine, "days": kept}, indent=1)
            given.json.write_text(f"{text}\n", "utf-8")
    if given.write is not None:
        write_page(given.write, table(DAYS, outcomes))
    well = len(days) - wrong - untried
    print(
        f"{well} of {len(days)} days went well, {untried} were not tried; "
        f"counts: {given.json}"
    )
    if wrong:
        return 1
    return NOT_TRIED if untried else 0


if __name__ == "__main__":
    # What was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
