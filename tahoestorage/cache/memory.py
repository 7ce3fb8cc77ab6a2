"""Pages in memory, evicted by second chance (the clock algorithm)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from tahoestorage.cache.pages import Page

BYTES_PER_NAME = 512
"""So much room a name of usual length takes at most; a longer one counts as several."""


@dataclass(slots=True, weakref_slot=True)
class CachedPage:
    """A page in memory, valid while its directory has this ``generation``.

    It expires at ``expiry``, in seconds since 1970. ``header`` is the header of the
    counters with which it was last seen to be valid: under the same one it still is,
    and the generation need not be read.
    """

    generation: int
    expiry: float
    page: Page
    header: bytes = b""
    used: bool = False
    weight: int = 0

    def __post_init__(self) -> None:
        size = len(self.page.lines) + len(self.page.secrets)
        self.weight = max(1, len(self.page), -(-size // BYTES_PER_NAME))


class MemoryTier:
    """Pages by key, with room for ``entries`` names in all. Safe in threads.

    Each name is ``BYTES_PER_NAME`` bytes, so that the bytes are bounded as well.

    ``get`` takes no lock, so that threads that find what they want in memory don't wait
    for each other. It only marks a page as used, which is then spared once (the
    "second chance" or clock algorithm).
    """

    def __init__(self, entries: int) -> None:
        self.room = entries
        """How many names fit in all."""
        self._pages: OrderedDict[bytes, CachedPage] = OrderedDict()
        self._names = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> CachedPage | None:
        """Return what is there, valid or not."""
        cached = self._pages.get(key)
        if cached is not None:
            cached.used = True
        return cached

    def set(self, key: bytes, cached: CachedPage) -> None:
        """Keep a page, if there is room for it at all."""
        weight = cached.weight
        if weight > self.room:
            return
        with self._lock:
            before = self._pages.get(key)
            self._names += weight - (0 if before is None else before.weight)
            self._pages[key] = cached
            while self._names > self.room:
                first = next(iter(self._pages))
                candidate = self._pages[first]
                # Not the one that has just come either.
                if candidate.used or candidate is cached:
                    candidate.used = False
                    self._pages.move_to_end(first)
                else:
                    del self._pages[first]
                    self._names -= candidate.weight

    def drop(self, key: bytes) -> None:
        """Drop a page."""
        with self._lock:
            before = self._pages.pop(key, None)
            if before is not None:
                self._names -= before.weight
