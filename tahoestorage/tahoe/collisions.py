"""What is done where two gateways write to one directory at the same time."""

from __future__ import annotations

import logging
import secrets
import time

from tahoestorage.exceptions import printable

logger = logging.getLogger("tahoestorage.cache")

WARNING_SECONDS = 300.0
PAUSE = 0.25  # seconds at most before the next attempt, and then twice as many


def pause(number: int) -> None:
    """Let another gateway finish, which writes too; ``number`` is from 0 on."""
    time.sleep(PAUSE * 2**number * secrets.randbelow(1000) / 1000)


class Warned:
    """Warns of lost locks, once in a while."""

    def __init__(self) -> None:
        self._again = float("-inf")

    def of(self, label: str) -> None:
        now = time.monotonic()
        if now > self._again:
            self._again = now + WARNING_SECONDS
            logger.warning(
                "%s: its directory was written to without a lock for some time, for "
                "the Redis that the gateways' writers share dropped it, or is away. "
                "What is saved is looked after, which takes longer. Give that Redis "
                "room, and a maxmemory-policy that begins with volatile-.",
                printable(label),
            )


warned = Warned()
