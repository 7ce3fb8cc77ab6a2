"""The command that brings faults upon processes, by one of its days; and its table.

`make chaos` goes through all of them, which takes half an hour.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks.chaos import checks, sites
from benchmarks.chaos.checks import SAVES
from benchmarks.chaos.outcome import DayOutcome
from benchmarks.chaos.record import History, Record
from benchmarks.chaos.stage import Stage

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"


def rows(page: Path) -> list[list[str]]:
    """Return the cells, row by row."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def chaos(
    *arguments: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *map(str, arguments)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_days_are_survived_and_their_rows_are_written(tmp_path: Path) -> None:
    page, counts = tmp_path / "page.md", tmp_path / "chaos.json"
    page.write_text(
        "Before.\n<!-- made by `make chaos` -->\nOld.\n<!-- end -->\nAfter."
    )

    days = ("--only", "gateway-link", "--only", "server-old")
    done = chaos("--quick-nodes", *days, "--json", counts, "--write", page)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    outcomes = json.loads(counts.read_text())["days"].values()
    for outcome in outcomes:
        assert outcome["acknowledged"] > 0
        assert outcome["reads"] > 0
        bad = ("lost", "strange", "wrong", "unclear")
        assert [outcome[each] for each in bad] == [0] * 4
    head, _, *each, total = rows(page)
    assert {len(row) for row in (head, *each, total)} == {len(head)}
    told = [int(row[1]) for row in each]
    assert told == [outcome["acknowledged"] for outcome in outcomes]
    assert int(total[1].replace(",", "")) == sum(told)
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.")
    assert "Old." not in text


def test_the_page_has_a_row_for_each_day() -> None:
    from benchmarks.chaos.days import DAYS

    head, _, *days, total = rows(PAGE)
    # What else there is to say of one is in brackets.
    titles = [row[0].partition(" (")[0] for row in days]
    assert titles == [day.title for day in DAYS]
    assert len({day.name for day in DAYS}) == len(DAYS)
    must_be_0 = {"Lost", "Half-written", "Wrong", "Unclear"}
    for day, row in (*zip(DAYS, days, strict=True), (None, total)):
        cells = dict(zip(head, row, strict=True))
        # Of the application's days nobody has looked at these.
        unknown = ("Read", "Wrong", "Errors", "Unclear") if day in sites.DAYS else ()
        assert {cells[each] for each in unknown} <= {"\N{EN DASH}"}, row[0]
        assert {cells[each] for each in must_be_0.difference(unknown)} == {"0"}, row[0]
        assert cells["Acknowledged"] != "0", row[0]
    (ratio,) = re.findall(r"save took ([\d.]+) times", PAGE.read_text())
    assert float(ratio) <= checks.LONGEST


def test_each_day_has_a_small_one_among_the_tests() -> None:
    from benchmarks.chaos.days import DAYS

    small = re.findall(r"^- (.+): `(\S+)::(\w+)`$", PAGE.read_text(), re.MULTILINE)

    assert [title for title, _, _ in small] == [day.title for day in DAYS]
    missing = [
        (title, name)
        for title, module, name in small
        if f"\ndef {name}(" not in (ROOT / module).read_text()
    ]
    assert missing == []


def test_days_are_listed_and_a_wrong_name_says_which_there_are() -> None:
    days = chaos("--list").stdout
    assert days.startswith("gateway-upload ")
    none = chaos("--only", "no such day")
    assert (none.returncode, none.stdout) == (2, days)


def test_a_day_that_cant_be_tried_here_did_not_go_well(tmp_path: Path) -> None:
    environment = {n: v for n, v in os.environ.items() if n != "CHAOS_MAY_MOUNT"}
    counts = tmp_path / "chaos.json"
    done = chaos(
        *("--only", "cache-full", "--json", counts),
        # Nothing there can make a namespace.
        env={**environment, "PATH": str(tmp_path)},
    )
    assert done.returncode == 3, done.stderr
    assert "not tried" in done.stdout
    assert "0 of 1 days went well, 1 were not tried" in done.stdout


def test_a_day_that_breaks_off_has_a_row_that_says_so(tmp_path: Path) -> None:
    counts, page = tmp_path / "chaos.json", tmp_path / "page.md"
    page.write_text("<!-- made by `make chaos` -->\n<!-- end -->\n")
    before = {"days": {"server-old": DayOutcome(acknowledged=7).as_json()}}
    counts.write_text(json.dumps(before))

    # No grid can be made.
    code = (
        "import sys\n"
        "from benchmarks.chaos import __main__ as chaos\n"
        "from tahoestorage.testing import grid\n"
        "grid.LocalGrid = None\n"
        "sys.exit(chaos.main())"
    )
    days = ("--only", "server-old", "--json", counts, "--write", page)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, days)],
        cwd=ROOT,
        env={**os.environ, "CHAOS_MAY_MOUNT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    (kept,) = json.loads(counts.read_text())["days"].values()
    assert kept["failed"]
    _, _, row, _ = rows(page)
    assert row[:2] == ["A server comes back with an old state", "FAILED"]


class Staged:
    """A stage on which saves take ``beside`` seconds beside a check, and 1 alone.

    Other changes take no time.
    """

    def __init__(self, beside: float) -> None:
        self.outcome = DayOutcome(acknowledged=1)
        now = time.monotonic()
        save, delete = 1, 5
        took = [(now, save, 1.0), (now + 20.0, save, beside)]
        took += [(now, delete, 0.0), (now + 20.0, delete, 0.0)] * 2
        self.history = SimpleNamespace(
            done=[
                {"number": number, "begun": at, "at": at + each}
                for at, number, each in took
            ]
            * SAVES
        )
        self.rests = [(now, now + 10.0)]

    def start(self, *given: object, **more: object) -> SimpleNamespace:
        return SimpleNamespace(task=SimpleNamespace(who="writer"))

    def changes(self, count: int) -> None:
        pass

    def wait(self, is_so: Callable[[], bool]) -> None:
        assert is_so()

    def wait_for_end(self, actor: object) -> dict[str, object]:
        return {"statuses": {"0": 64}, "rests": self.rests}


@pytest.mark.parametrize(("beside", "is_well"), [(1.4, True), (2.0, False)])
def test_a_day_on_which_a_check_slows_saves_down_too_much_is_not_well(
    beside: float, is_well: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Staged(beside)
    # The check ends after all that is done beside it.
    monkeypatch.setattr(
        checks, "time", SimpleNamespace(monotonic=iter([0.0, math.inf]).__next__)
    )
    checks.beside_checks(cast("Stage", stage))
    assert stage.outcome.is_well == is_well
    assert f"{beside:.2f} times" in stage.outcome.note


def begin(record: Record, number: int, name: str, digest: str | None) -> None:
    record.add("begun", number=number, name=name, digest=digest, source=None)


def test_what_is_lost_is_told_from_what_may_be_either_way(tmp_path: Path) -> None:
    path = tmp_path / "record"
    record, history = Record(path, "one"), History(path)
    for number, name in enumerate(["kept", "lost", "other", "back"]):
        begin(record, number, name, f"of {name}")
        line = {"name": name, "digest": f"of {name}", "source": None}
        record.add("done", number=number, **line)
    begin(record, 4, "back", None)
    record.add("done", number=4, name="back", digest=None, source=None)
    begin(record, 5, "killed", "of killed")
    begin(record, 6, "half", "of half")
    begin(record, 7, "kept", None)
    record.add("failed", number=7, error="GatewayTimeout", clear=True)
    move = {"name": "to", "digest": "of kept", "source": "kept"}
    record.add("begun", number=8, **move)
    history.read()

    found = {"kept": "of kept", "other": "?", "back": "of back", "half": "of", "x": "x"}
    assert history.compare(found) == (["lost", "other", "back"], ["x", "half"])
    del found["kept"]
    # Deleted, it may be; moved and deleted, it is under one of two names.
    assert "kept" in history.compare(found)[0]
    assert history.errors == {"GatewayTimeout": 1}


def test_an_outcome_is_well_only_where_something_was_tried() -> None:
    assert not DayOutcome().is_well
    assert DayOutcome(acknowledged=1).is_well
    assert not DayOutcome(acknowledged=1, unclear=1).is_well


def test_no_error_on_the_page_is_a_stranger() -> None:
    from tahoestorage import exceptions

    head, _, *days, _ = rows(PAGE)
    errors = " ".join(row[head.index("Errors")] for row in days)
    for kind in re.findall(r"[A-Z]\w+", errors):
        assert issubclass(getattr(exceptions, kind), exceptions.TahoeStorageError)
