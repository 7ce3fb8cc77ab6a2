"""The tier in memory: pages as they are; the first in are the first to go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from tahoestorage.cache.pages import Page


@dataclass(slots=True)
class Held:
    """A page, valid while its directory's generation is the same, until ``expiry``.

    The generation was seen to be the same when the header of all of them was
    ``header``: as long as it is still that one, nobody needs to look again.
    """

    generation: int
    expiry: float
    page: Page
    header: bytes = b""
    used: bool = False


def _weight(held: Held) -> int:
    return 1 + len(held.page)


class MemoryTier:
    """Pages by key, with room for ``entries`` names in all. Safe in threads.

    Whoever asks takes no lock: threads that are answered from memory don't wait for
    each other. So a page that was used is marked only, and gets a second chance when
    it would be its turn to go.
    """

    def __init__(self, entries: int) -> None:
        self.room = entries
        """How many names fit in all."""
        self._pages: OrderedDict[bytes, Held] = OrderedDict()
        self._names = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Held | None:
        """Return what is held, valid or not."""
        held = self._pages.get(key)
        if held is not None:
            held.used = True
        return held

    def set(self, key: bytes, held: Held) -> None:
        """Hold a page, if there is room for it at all."""
        weight = _weight(held)
        if weight > self.room:
            return
        with self._lock:
            before = self._pages.get(key)
            self._names += weight - (0 if before is None else _weight(before))
            self._pages[key] = held
            while self._names > self.room:
                first = next(iter(self._pages))
                candidate = self._pages[first]
                # Not the one that has just come either.
                if candidate.used or candidate is held:
                    candidate.used = False
                    self._pages.move_to_end(first)
                else:
                    del self._pages[first]
                    self._names -= _weight(candidate)

    def drop(self, key: bytes) -> None:
        """Hold a page no longer."""
        with self._lock:
            before = self._pages.pop(key, None)
            if before is not None:
                self._names -= _weight(before)
