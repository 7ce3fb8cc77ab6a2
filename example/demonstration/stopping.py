"""Ctrl-C and its like: once they end everything, and then they wait for that."""

from __future__ import annotations

import signal
from types import FrameType

from demonstration import say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Somebody asked for the end."""


def await_signals() -> None:
    """From now on, let a signal raise Stopped."""
    for number in SIGNALS:
        signal.signal(number, stop)


def stop(number: int, frame: FrameType | None) -> None:
    hold_signals()
    say("\nStopping…")
    raise Stopped


def hold_signals() -> None:
    """Let nothing interrupt the stopping, or some of it would be left running."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
