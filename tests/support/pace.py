"""How long something takes, measured against something else in the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from django.core.files.storage import FileSystemStorage

Ask = Callable[[], object]


def times_a_look_up(ask: Ask, folder: Path) -> float:
    """Return how many times as long as a look-up in a folder ``ask`` takes.

    That is `FileSystemStorage.exists`, which asks the kernel. Both take turns, and the
    best of each count: what else the machine does slows both down.
    """
    (folder / "reference").write_bytes(b"x")
    files = FileSystemStorage(location=folder)
    ours, theirs = [], []
    for _ in range(9):
        theirs.append(_seconds(lambda: files.exists("reference")))
        ours.append(_seconds(ask))
    return min(ours) / min(theirs)


def _seconds(ask: Ask) -> float:
    started = time.perf_counter()
    for _ in range(100):
        ask()
    return time.perf_counter() - started
