"""The tier in memory: pages as they are, the least recently used go first."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from cachetools import LRUCache

from tahoestorage.cache.pages import Page


@dataclass(frozen=True, slots=True)
class Held:
    """A page, valid while its directory's generation is the same, until ``expiry``."""

    generation: int
    expiry: float
    page: Page


def _weight(held: Held) -> int:
    return 1 + len(held.page)


class MemoryTier:
    """Pages by key, with room for ``entries`` names in all. Safe in threads."""

    def __init__(self, entries: int) -> None:
        self._pages: LRUCache[bytes, Held] = LRUCache(entries, getsizeof=_weight)
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many names fit in all."""
        return int(self._pages.maxsize)

    def get(self, key: bytes) -> Held | None:
        """Return what is held, valid or not."""
        with self._lock:
            return self._pages.get(key)

    def set(self, key: bytes, held: Held) -> None:
        """Hold a page, if there is room for it at all."""
        if _weight(held) <= self._pages.maxsize:
            with self._lock:
                self._pages[key] = held
