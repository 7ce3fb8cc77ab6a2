"""The table of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.chaos.day import Day
from benchmarks.chaos.outcome import DayOutcome

START, END = "<!-- made by `make chaos` -->", "<!-- end -->"
HEAD = (
    *("What happens", "Acknowledged", "Lost", "Half-written", "Read", "Wrong"),
    *("Errors", "Unclear", "Back after"),
)


def table(days: Iterable[Day], outcomes: Mapping[str, DayOutcome]) -> str:
    """Return the rows of the days that were tried, and their sums."""
    rows = [
        [_title(day, outcomes[day.name]), *cells(outcomes[day.name])]
        for day in days
        if day.name in outcomes
    ]
    total = DayOutcome()
    for each in outcomes.values():
        total.acknowledged += each.acknowledged
        total.lost += each.lost
        total.strange += each.strange
        total.reads += each.reads
        total.wrong += each.wrong
        total.unclear += each.unclear
    rows.append(["**All**", *cells(total)])
    lines = [HEAD, ["---", *["--:"] * 5, "---", "--:", "--:"], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _title(day: Day, outcome: DayOutcome) -> str:
    return f"{day.title} ({outcome.note})" if outcome.note else day.title


def cells(outcome: DayOutcome) -> list[str]:
    """Return what a row says of a day."""
    if outcome.failed:
        return ["FAILED", *[""] * (len(HEAD) - 2)]
    errors = ", ".join(f"{n} {kind}" for kind, n in outcome.errors.items())
    found = [f"{outcome.reads:,}", f"{outcome.wrong:,}", errors, f"{outcome.unclear:,}"]
    if not outcome.is_read:
        found = ["\N{EN DASH}"] * len(found)
    changes = (outcome.acknowledged, outcome.lost, outcome.strange)
    back = "" if outcome.back is None else f"{outcome.back:.1f} s"
    return [*(f"{number:,}" for number in changes), *found, back]


def write_page(page: Path, made: str) -> None:
    """Put a table into its place on a page. Raises ValueError where there is none."""
    before, start, rest = page.read_text("utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{page} has no lines {START} and {END}")
    page.write_text(f"{before}{START}\n{made}{END}{after}", "utf-8")
