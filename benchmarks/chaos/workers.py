"""Days on which those who write are killed."""

from __future__ import annotations

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage

KILLS = 100


def killed_in_saves(stage: Stage) -> None:
    """Kill writers at random moments of their changes, each soon after its start."""
    for _ in range(2):
        stage.start("read")
    mortal = stage.start("die", threads=KILLS)
    stage.wait_for_end(mortal)
    stage.history.read()
    for at in stage.history.kills:
        begun = (line for line in stage.history.done if line["begun"] >= at)
        # The last one has nobody after it.
        if (first := next(begun, None)) is not None:
            seconds = first["at"] - at
            stage.outcome.back = max(stage.outcome.back or 0.0, seconds)


DAYS = (
    Day(
        "worker-killed", f"A worker is killed in saves, {KILLS} times", killed_in_saves
    ),
)
