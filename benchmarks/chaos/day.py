"""A bad day: its name, what is done in words, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.chaos.stage import Stage


@dataclass(frozen=True)
class Day:
    """``act`` brings the faults upon a stage, and leaves the grid whole.

    ``mounts`` says that it needs a namespace in which it may mount.
    """

    name: str
    title: str
    act: Callable[[Stage], None]
    mounts: bool = False
