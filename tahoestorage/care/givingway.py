"""A check gives way to those who write through the same gateway, one process."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator

from tahoestorage.cache import EntryCache, Ticket

RESTS = 3.0
"""How many times as long as it worked a check rests, while others write."""
LONGEST_REST = 20.0  # seconds
SEEN_SECONDS = 5.0
"""For so long after a change others are taken to write."""


class GivingWay:
    """Turns at working, for threads of a check, beside those who write.

    Who writes is known by the cache, if processes share one: no other is seen. While
    somebody does, one turn is taken at a time, with a rest after it; so is the first
    turn, for nobody knows yet. ``stopped`` ends rests. After ``until``, in seconds
    since 1970, it gives way to nobody.
    """

    def __init__(
        self, cache: EntryCache, stopped: threading.Event, until: float = math.inf
    ) -> None:
        self._cache = cache
        self._stopped = stopped
        self._until = until
        self._ticket = cache.ticket()
        self._seen_at = -math.inf
        self._is_sure = not self._may_see(self._ticket)
        self._one_at_a_time = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, work in the block, and rest."""
        if self._is_sure and not self._sees_writers():
            yield
            return
        with self._one_at_a_time:
            began = time.monotonic()
            yield
            self._is_sure = True
            if self._sees_writers():
                taken = time.monotonic() - began
                self._stopped.wait(min(RESTS * taken, LONGEST_REST))

    def _sees_writers(self) -> bool:
        now, ticket = time.monotonic(), self._cache.ticket()
        if not self._may_see(ticket):
            return False
        if not self._cache.unchanged(self._ticket, ticket, None):
            self._ticket, self._seen_at = ticket, now
        return now - self._seen_at < SEEN_SECONDS

    def _may_see(self, ticket: Ticket) -> bool:
        """Whether changes of others are seen: not while no cache is shared."""
        is_over = time.time() >= self._until
        return not is_over and self._cache.unchanged(ticket, ticket, None)
