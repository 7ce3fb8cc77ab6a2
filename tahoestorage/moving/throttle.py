"""The throttle of a run: bytes per second over all threads, and the stop."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Protocol

BLOCK = 1 << 20
SMALLEST_BLOCK = 1 << 12
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?(?:/s)?", re.IGNORECASE)


class Stopped(Exception):
    """The run was stopped: this copy is broken off."""


def parse_rate(text: str) -> float:
    """Return bytes per second for a text such as 10M or 512K; K is 1024.

    Raises ValueError.
    """
    found = _RATE.fullmatch(text.strip())
    rate = (
        float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ") if found else 0
    )
    if rate < 1:
        raise ValueError(f"{text!r} is no rate; expected one such as 10M or 512K")
    return rate


class Signal(Protocol):
    """An event of ``threading``, or what does the same for several processes."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Throttle:
    """Lets ``rate`` bytes per second pass at most, over all threads; None: any number.

    ``passed`` is called with each number of new bytes, in the thread that reads them.
    ``stop`` sets ``stopped``, which processes can share.
    """

    def __init__(
        self,
        rate: float | None = None,
        passed: Callable[[int], None] | None = None,
        stopped: Signal | None = None,
    ) -> None:
        self._rate = rate
        self._passed = passed
        self._stopped: Signal = stopped or threading.Event()
        self._lock = threading.Lock()
        self._free = time.monotonic()
        self.block = BLOCK
        """How many bytes are best read at a time."""
        if rate is not None:
            self.block = min(BLOCK, max(SMALLEST_BLOCK, int(rate / 8)))

    def stop(self) -> None:
        """Have every copy raise Stopped at its next block."""
        self._stopped.set()

    def check(self) -> None:
        """Raise Stopped once ``stop`` was called."""
        if self._stopped.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait so many seconds. Raises Stopped as soon as ``stop`` is called."""
        if seconds > 0:
            self._stopped.wait(seconds)
        self.check()

    def take(self, count: int, new: int) -> None:
        """Wait until ``count`` bytes may pass; ``new`` of them count as progress.

        Raises Stopped.
        """
        if self._passed is not None:
            self._passed(new)
        pause = 0.0
        if self._rate is not None:
            with self._lock:
                now = time.monotonic()
                # What was not used is lost: a pause is followed by no burst.
                self._free = max(self._free, now) + count / self._rate
                pause = self._free - now
        self.wait(pause)
