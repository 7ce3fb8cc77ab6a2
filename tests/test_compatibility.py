"""The table of stores in docs/compatibility.md: that it is the one of this release.

It is made by `make compatibility`, which takes minutes, and not by these tests.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
LOCK = ROOT / "requirements" / "dev-py311-django52.txt"


def table() -> list[list[str]]:
    """Return the cells, row by row."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_stores_are_those_of_the_lock() -> None:
    from benchmarks.compatibility.servers import INSTALLED_HERE, KINDS

    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", LOCK.read_text(), re.MULTILINE))
    locked |= INSTALLED_HERE
    head = [f"{kind.name} {locked[kind.package]}" for kind in KINDS]
    assert table()[0][1:] == head


def test_each_trial_has_a_row() -> None:
    from benchmarks.compatibility.__main__ import CHECK
    from benchmarks.compatibility.trials import TRIALS

    rows = [row[0] for row in table()[2:]]
    assert rows == [*(trial.name for trial in TRIALS), CHECK]


def test_what_a_store_lacks_is_a_trial() -> None:
    from benchmarks.compatibility.servers import KINDS
    from benchmarks.compatibility.trials import TRIALS

    names = {trial.name for trial in TRIALS}
    for kind in KINDS:
        assert kind.lacks <= names


def test_a_store_that_may_lose_files_is_reported() -> None:
    # Where a save is refused, check says so; and nothing says so elsewhere.
    rows = table()
    for number, store in enumerate(rows[0][1:], 1):
        cells = [row[number] for row in rows[2:]]
        refuses = {"refused", "may overwrite"} & set(cells)
        assert bool(refuses) == (cells[-1] == "E007"), store


def test_each_no_has_its_reason() -> None:
    text = PAGE.read_text()
    cells = [cell for row in table() for cell in row]
    numbers = {
        int(n) for cell in cells for n in re.findall(r"\*\*no\*\* \((\d+)\)", cell)
    }
    assert numbers == {int(n) for n in re.findall(r"^(\d+)\. ", text, re.MULTILINE)}
    assert not re.search(r"127\.0\.0\.1|/tmp|bucket-[0-9a-f]", text)
