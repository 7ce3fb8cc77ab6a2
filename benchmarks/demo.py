"""``python -m benchmarks.demo``: what `make demo` takes on a machine that has nothing.

Two fresh clones, one after the other: in one `make demo` makes its environment and
tries itself, in the other it is run from the environment of all who develop here, as it
was before it had its own. No file is taken from the caches of pip and uv. Each with
pip, and with uv, which is fetched first where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row, at_most

ROOT = Path(__file__).parent.parent
TOOLS = ("pip", "uv")
BOUND = 0.66
"""Of what the whole environment takes: 75 s where that takes 114 s."""
FRESH = {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}


@dataclass(frozen=True)
class Taken:
    """The seconds that one way has taken, and what lies on the disk afterwards."""

    install: float
    run: float
    mebibytes: float

    @property
    def whole(self) -> float:
        """The seconds from the clone to the end of the trial."""
        return self.install + self.run

    def __str__(self) -> str:
        return f"{self.install:.1f} + {self.run:.1f} s, {self.mebibytes:.0f} MiB"


def try_own(clone: Path, environment: Mapping[str, str]) -> Taken:
    """Do what the README says."""
    install = _seconds(clone, environment, "make", ".venv-demo/.environment")
    run = _seconds(clone, {**environment, "DEMO_EXIT": "1"}, "make", "demo")
    return Taken(install, run, _size(clone / ".venv-demo"))


def try_whole(clone: Path, environment: Mapping[str, str]) -> Taken:
    """Install all that development takes, and run the same."""
    install = _seconds(clone, environment, "make", ".venv/.environment")
    environment = {**environment, "DEMO_EXIT": "1", "PYTHONPATH": str(clone)}
    run = _seconds(clone, environment, ".venv/bin/python", "example/demo.py")
    return Taken(install, run, _size(clone / ".venv"))


WAYS = {"own": try_own, "whole": try_whole}


def _seconds(clone: Path, environment: Mapping[str, str], *command: str) -> float:
    """Return how long a command takes in a clone; say what it said if it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - started
    # It goes on with pip where uv fails: that would be measured in its name.
    if done.returncode or "Trying pip" in done.stdout:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return taken


def _size(folder: Path) -> float:
    sizes = (each.lstat().st_size for each in folder.rglob("*"))
    return sum(sizes) / (1 << 20)


def _path_with(tool: str, work: Path) -> str:
    """Return a PATH in which uv is, or is not."""
    folders = [Path(each) for each in os.environ["PATH"].split(os.pathsep) if each]
    if tool == "uv":
        if not any((folder / "uv").exists() for folder in folders):
            folder = work / "uv"
            _seconds(work, os.environ, sys.executable, "-m", "venv", str(folder))
            install = ("-m", "pip", "install", "--quiet", "uv")
            _seconds(work, os.environ, str(folder / "bin/python"), *install)
            only = work / "only-uv"
            only.mkdir()
            (only / "uv").symlink_to(folder / "bin/uv")
            folders.insert(0, only)
        return os.pathsep.join(map(str, folders))
    without = []
    for number, folder in enumerate(folders):
        if (folder / "uv").exists():
            others = work / f"without-uv-{number}"
            others.mkdir()
            for program in folder.iterdir():
                if program.name not in ("uv", "uvx"):
                    (others / program.name).symlink_to(program)
            folder = others
        without.append(folder)
    return os.pathsep.join(map(str, without))


def measure(tool: str, rounds: int) -> Row:
    """Return the best of each way, in times of each other."""
    best: dict[str, Taken] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        outside = ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
        environment = {k: v for k, v in os.environ.items() if k not in outside}
        environment |= {**FRESH, "PATH": _path_with(tool, work), "DEMO_PORT": "0"}
        for number in range(rounds):
            for way, try_out in WAYS.items():
                clone = work / f"{way}-{number}"
                git = ("git", "clone", "--quiet", "--no-hardlinks", str(ROOT))
                _seconds(work, environment, *git, str(clone))
                taken = try_out(clone, environment)
                print(f"{tool}, {way}: {taken}", file=sys.stderr, flush=True)
                shutil.rmtree(clone)
                if way not in best or taken.whole < best[way].whole:
                    best[way] = taken
    own, whole = best["own"], best["whole"]
    label = f"make demo from a fresh clone by {tool}, in times of the whole environment"
    beside = f"{own}; the whole {whole}"
    return at_most(label, own.whole / whole.whole, "x", BOUND, beside)


def main() -> None:
    """Print a row for each tool; the status is 1 where a bound is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tool", choices=TOOLS, action="append")
    arguments = parser.parse_args()
    missed = False
    for tool in arguments.tool or TOOLS:
        row = measure(tool, arguments.rounds)
        missed |= not row.met
        met = "met" if row.met else "MISSED"
        print(f"{row.label}: {row.value:.2f} {row.unit} ({row.bound}, {met})")
        print(f"    installed + run, on the disk: {row.beside}", flush=True)
    sys.exit(missed)


if __name__ == "__main__":
    main()
