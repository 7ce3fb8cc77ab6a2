"""Rows are locked in one order: on a real PostgreSQL, nobody waits in a circle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.application.site import EXAMPLE, ROOT, bare_environment

PAIRS = (
    # What an event gets, and what is done to its files and names meanwhile.
    ("settle late", "replace other slides"),
    ("settle slides", "put plan"),
    ("settle new", "abandon new"),
    ("abandon slides", "delete event"),
    ("begin for event", "put new plan"),
    ("begin for event", "settle slides"),
    # Paths, which are waited for as rows are.
    ("put plan", "put plan"),
    ("tenant move", "put again"),
    # Rows that go, and what refers to them.
    ("begin for event", "erase eve"),
    ("grant", "erase eve"),
    ("set members", "set groups"),
    ("grant group", "delete group"),
    ("delete jobs", "try again"),
    # Several rows by one statement.
    ("write failures", "write others"),
)
ROUNDS = 24


def run(url: str, folder: Path, *arguments: str) -> list[str]:
    environment = bare_environment(folder) | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.application.settings",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(EXAMPLE), *sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.application.lock_runs", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("quarter", range(4))
def test_of_two_at_once_each_is_done(
    postgres_tables: Callable[[], str], tmp_path: Path, quarter: int
) -> None:
    both = [f"{a} + {b}" for a, b in PAIRS] + [f"{b} + {a}" for a, b in PAIRS]

    assert run(postgres_tables(), tmp_path, "pairs", *both[quarter::4]) == []


def test_of_many_at_once_each_is_done_and_the_counts_are_right(
    postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    assert run(postgres_tables(), tmp_path, "mix", "0", str(ROUNDS)) == []


def test_rows_are_locked_in_one_place() -> None:
    asking = re.compile(r"\.select_for_update\(")
    found = [
        str(path.relative_to(EXAMPLE))
        for path in EXAMPLE.rglob("*.py")
        if asking.search(path.read_text())
    ]
    assert found == ["config/locks.py"]
