"""Ctrl-C and its like: once they end everything, and then they wait for that."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from demonstration import say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """Somebody asked for the end."""


def await_signals() -> None:
    """From now on, let a signal raise StopRequested."""
    for number in SIGNALS:
        signal.signal(number, stop)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Raise StopRequested after the block, not within it.

    A process that it starts would be there, and nobody would know of it, to end it.
    """
    came: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        await_signals()
        if came:
            stop(came[0], None)


def stop(number: int, frame: FrameType | None) -> None:
    hold_signals()
    say("\nStopping…")
    raise StopRequested


def hold_signals() -> None:
    """Let nothing interrupt the stopping, or some of it would be left running."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
