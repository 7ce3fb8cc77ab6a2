"""`tahoe_check` beside the gateway's own stream-deep-check, whole and killed.

As a module it is the process that checks, and that is killed: see ``main``.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from django.core.files.base import ContentFile

from benchmarks.rows import Row, at_most, best_of_each
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

OBJECTS = int(os.environ.get("BENCH_CHECKED_OBJECTS", "606"))
"""Files and directories; 5,000 take four minutes."""
EACH = 100  # files in a directory
KILLS = 5
PATIENCE = 600.0


def checks(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """A check of some directories of 100 files, as long and as large as it is."""
    root = grid.create_root()
    storage = TahoeStorage(base_url=grid.base_url, base_cap=root.uri, cache=False)
    count = 1 + _fill(storage, max(OBJECTS // (EACH + 1), 2))
    cap = work / "checks.cap"
    cap.write_text(root.uri)
    session = requests.Session()
    address = f"{grid.base_url}/uri/{quote(root.uri, safe='')}?t=stream-deep-check"

    def bare() -> None:
        with session.post(address, stream=True, timeout=PATIENCE) as response:
            lines = sum(1 for _ in response.iter_lines())
        # It looks at each directory's marker, too.
        if lines <= count:
            raise RuntimeError(f"the gateway has checked {lines - 1} of {count}")

    growth = 0

    def ours() -> None:
        nonlocal growth
        state = work / f"checks-{secrets.token_hex(4)}"
        grown, checked = _check(grid, cap, state).split()
        growth = max(growth, int(grown))
        if int(checked) != count:
            raise RuntimeError(f"{checked} of {count} were checked")

    taken = best_of_each({"ours": ours, "bare": bare}, rounds=3)
    # Python's start is none of the check.
    idle = best_of_each({"start": lambda: _start(grid, cap, work)}, rounds=2)["start"]
    own = taken["ours"] - idle
    beside = f"{own:.1f} s; the stream {taken['bare']:.1f} s"
    text = f"tahoe_check of {count:,} objects, in times of the bare stream"
    yield at_most(text, own / taken["bare"], "x", 1.5, beside)
    yield at_most("memory that it takes meanwhile", growth / 1024, "MiB", 32)

    twice, beside = _killed(grid, cap, work / "checks-killed", count, own)
    text = f"objects looked at twice, where it is killed {KILLS} times"
    yield at_most(text, twice, "", EACH + 1, beside)


def _fill(storage: TahoeStorage, directories: int) -> int:
    """Save files, and return how many files and directories there are then."""
    for number in range(directories):
        pairs = (
            (f"{number}/{each}.bin", ContentFile(secrets.token_bytes(200)))
            for each in range(EACH)
        )
        if len([*storage.save_many(pairs)]) != EACH:
            raise RuntimeError("not all were saved")
    return directories * (EACH + 1)


def _command(grid: LocalGrid, cap: Path, state: Path, log: Path | None) -> list[str]:
    arguments = [grid.base_url, cap, state, log or os.devnull]
    return [sys.executable, "-m", "benchmarks.checks", *map(str, arguments)]


def _check(grid: LocalGrid, cap: Path, state: Path, log: Path | None = None) -> str:
    command = _command(grid, cap, state, log)
    return subprocess.check_output(command, text=True, timeout=PATIENCE)


def _start(grid: LocalGrid, cap: Path, work: Path) -> None:
    """Start the process, and check nothing."""
    subprocess.check_output([*_command(grid, cap, work / "none", None), "--not"])


def _killed(
    grid: LocalGrid, cap: Path, state: Path, count: int, seconds: float
) -> tuple[int, str]:
    """Return how many objects were looked at twice, and what else there is to say."""
    log = state.with_suffix(".log")
    log.touch()
    for number in range(KILLS):
        before = log.stat().st_size
        process = subprocess.Popen(
            _command(grid, cap, state, log), stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE
        # Once it has done a part of what is left.
        wanted = before + max((count - before) // (KILLS + 1 - number), 1)
        while log.stat().st_size < wanted and process.poll() is None:
            if time.monotonic() > until:
                raise RuntimeError("the check does not go on")
            time.sleep(0.002)
        process.kill()
        process.wait()
    _, checked = _check(grid, cap, state, log).split()
    if int(checked) != count:
        raise RuntimeError(f"{checked} of {count} were checked after the kills")
    looked = log.stat().st_size
    return looked - count, f"{count} objects, {looked} looks; none left out"


def _peak() -> int:
    """Return the most KiB that this program had in memory.

    Not getrusage, which begins with what the process had that started it.
    """
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text("ascii").splitlines()
        if line.startswith("VmHWM:")
    )
    return int(line.split()[1])


def main() -> None:
    """Check, and print by how many KiB memory has grown, and the number of objects.

    Arguments: gateway, cap file, record, and a file that gets a byte for each look.
    """
    import django
    from django.conf import settings

    gateway, cap, state, log, *rest = sys.argv[1:]
    settings.configure(USE_TZ=True, INSTALLED_APPS=["tahoestorage"])
    django.setup()
    from tahoestorage.care.checker import Checker
    from tahoestorage.care.examiner import CheckPlan
    from tahoestorage.care.record import CheckRecord
    from tahoestorage.tahoe.gateway import Gateway

    storage = TahoeStorage(base_url=gateway, base_cap_file=cap, cache=False)
    storage.exists("none")
    if rest:
        return
    looks = os.open(log, os.O_WRONLY | os.O_APPEND)
    stream, check = Gateway.deep_check, Gateway.check

    def counted_stream(self: Gateway, *arguments: Any, **options: Any) -> Iterator[Any]:
        for line in stream(self, *arguments, **options):
            # What is literal, as a marker is, can't be lost.
            os.write(looks, b"." * bool(line.storage_index))
            yield line

    def counted_check(self: Gateway, *arguments: Any, **options: Any) -> Any:
        os.write(looks, b".")
        return check(self, *arguments, **options)

    Gateway.deep_check = counted_stream  # type: ignore[method-assign]
    Gateway.check = counted_check  # type: ignore[method-assign]
    record = CheckRecord(Path(state))
    record.begin("", 0, repair=False)
    plan = CheckPlan(
        (), verify=False, repair=False, add_lease=False, since=None, jobs=4
    )
    before = _peak()
    checker = Checker(storage, plan, record, print, lambda summary: None)
    checker.carry_out()
    grown = _peak() - before
    record.close()
    print(grown, checker.summary.checked)


if __name__ == "__main__":
    main()
