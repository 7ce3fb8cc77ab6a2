"""Retries after a collided write, with pauses, and the warning of a lost lock."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from tahoestorage.exceptions import NotEnoughShares, UnexpectedResponse, printable

logger = logging.getLogger("tahoestorage.cache")

WARNING_SECONDS = 300.0
T = TypeVar("T")
PAUSE = 0.25  # seconds at most before the first retry; doubled for each further one


def pause(number: int) -> None:
    """Sleep before retry ``number`` (from 0), so that another gateway can finish."""
    time.sleep(PAUSE * 2**number * secrets.randbelow(1000) / 1000)


class LostLockWarning:
    """Logs a warning about a lost lock, at most once in ``WARNING_SECONDS``."""

    def __init__(self) -> None:
        self._retry_at = float("-inf")

    def log(self, label: str) -> None:
        """Warn that the lock for the directory of ``label`` was lost."""
        now = time.monotonic()
        if now > self._retry_at:
            self._retry_at = now + WARNING_SECONDS
            logger.warning(
                "%s: its directory was written to without a lock for some time, for "
                "the Redis that the gateways' writers share dropped it, or is away. "
                "Each save is checked afterwards, which takes longer. Give that Redis "
                "room, and a maxmemory-policy that begins with volatile-.",
                printable(label),
            )


lost_lock_warning = LostLockWarning()


def read_patiently(read: Callable[[], T], retries: int) -> T:
    """Return what ``read`` finds of a name after a change of it failed.

    Retried: while another gateway writes, shares seem to be missing.
    """
    for number in range(retries):
        try:
            return read()
        except (NotEnoughShares, UnexpectedResponse):
            pause(number)
    return read()
