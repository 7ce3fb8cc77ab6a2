"""A day of checks and repairs, beside those who write."""

from __future__ import annotations

import statistics
import time

from benchmarks.chaos.actor import is_save
from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage

PASSES, SAVES = 64, 60
PAUSE = 0.3  # seconds
WELL = {"0", "1"}
LOST = "3"
LONGEST = 1.5
"""A save beside a check may take so many times as long as alone."""


def beside_checks(stage: Stage) -> None:
    """Check and repair what is written to, all the time."""
    stage.start("read", pause=PAUSE)
    writer = stage.start("write", pause=PAUSE)
    stage.changes(5)
    began = time.monotonic()
    checker = stage.start("check", threads=PASSES, path=f"{writer.task.who}-0")
    told = stage.wait_for_end(checker)
    statuses, ended = told["statuses"], time.monotonic()
    stage.wait(lambda: len(stage.history.done) >= SAVES)
    alone, beside = [], []
    for line in stage.history.done:
        if not is_save(line["number"]):
            continue
        begun, at = line["begun"], line["at"]
        # In turns, for what else the machine does then hits both.
        if any(begun >= since and at <= until for since, until in told["rests"]):
            alone.append(at - begun)
        elif began <= begun and at <= ended:
            beside.append(at - begun)
    ratio = statistics.median(beside) / statistics.median(alone)
    failed = sum(count for status, count in statuses.items() if status not in WELL)
    stage.outcome.lost += statuses.get(LOST, 0)
    stage.outcome.note = (
        f"{failed} failed, {statuses.get(LOST, 0)} found something lost; a save took "
        f"{ratio:.2f} times as long as alone"
    )
    stage.outcome.unclear += failed
    stage.outcome.missed += ratio > LONGEST


DAYS = (
    Day(
        "checks",
        f"{PASSES} passes of check and repair beside {SAVES} saves",
        beside_checks,
    ),
)
