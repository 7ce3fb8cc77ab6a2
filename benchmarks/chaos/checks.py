"""A day of checks and repairs, beside those who write."""

from __future__ import annotations

import statistics

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage

PASSES, SAVES = 64, 60
PAUSE = 0.3  # seconds
WELL = {"0", "1"}
LOST = "3"


def beside_checks(stage: Stage) -> None:
    """Check and repair what is written to, all the time."""
    stage.start("read", pause=PAUSE)
    first = stage.start("write", pause=PAUSE)
    stage.changes(SAVES // 2)
    stage.end(first)
    before = len(stage.history.done)
    writer = stage.start("write", pause=PAUSE)
    stage.changes(5)
    checker = stage.start("check", threads=PASSES, path=f"{writer.task.who}-0")
    statuses = stage.wait_for_end(checker)["statuses"]
    stage.wait(lambda: len(stage.history.done) >= before + SAVES)
    after = len(stage.history.done)
    stage.changes(SAVES // 2)
    taken = [line["at"] - line["begun"] for line in stage.history.done]
    # Before and after, for what else the machine does then hits both.
    alone = statistics.median(taken[:before] + taken[after:])
    beside = statistics.median(taken[before:after])
    failed = sum(count for status, count in statuses.items() if status not in WELL)
    stage.outcome.lost += statuses.get(LOST, 0)
    stage.outcome.note = (
        f"{failed} failed, {statuses.get(LOST, 0)} found something lost; a change took "
        f"{beside / alone:.2f} times as long as alone"
    )
    stage.outcome.unclear += failed


DAYS = (
    Day(
        "checks",
        f"{PASSES} passes of check and repair beside {SAVES} saves",
        beside_checks,
    ),
)
