"""A measured row, and the ways in which a time is taken."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Less than a busy machine leaves to a process before it is another's turn.
SAMPLE_SECONDS = 0.001


@dataclass(frozen=True)
class Row:
    """One measurement, beside its reference; ``bound`` is what ``value`` must keep."""

    label: str
    value: float
    unit: str
    bound: str
    met: bool
    beside: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return asdict(self)


def at_most(label: str, value: float, unit: str, bound: float, beside: str = "") -> Row:
    """Return a row whose value must not be above ``bound``."""
    return Row(label, value, unit, f"<= {bound:g}", value <= bound, beside)


def at_least(
    label: str, value: float, unit: str, bound: float, beside: str = ""
) -> Row:
    """Return a row whose value must not be below ``bound``."""
    return Row(label, value, unit, f">= {bound:g}", value >= bound, beside)


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def best_of_each(
    calls: Mapping[str, Callable[[], object]], *, rounds: int
) -> dict[str, float]:
    """Return the best seconds of one call of each, taken in turns.

    In turns, and the best of them: what else the machine does then hits all alike. A
    short call is repeated for as long as SAMPLE_SECONDS. All are timed for as long so:
    on a busy machine what takes longer is interrupted more often.
    """
    best = dict.fromkeys(calls, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                times = max(1, int(SAMPLE_SECONDS / best[name]))
                started = time.perf_counter()
                for _ in range(times):
                    call()
                taken = (time.perf_counter() - started) / times
                best[name] = min(best[name], taken)
    finally:
        gc.enable()
    return best


def median_of_each(
    calls: Mapping[str, Callable[[], object]], *, rounds: int
) -> dict[str, float]:
    """Return the median seconds of one call of each, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return {name: sorted(each)[rounds // 2] for name, each in taken.items()}
