"""Checks by one read of the counters that a cached response is still valid."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from tahoestorage.cache.generations import Generations
from tahoestorage.cache.memory import CachedPage

# So many places of directories are remembered.
PLACES = 4096


class Revalidation:
    """The header of the counters, read once before a response is begun.

    What was valid under the same header is valid; for other pages their directory's
    generation is read. ``trail`` and ``expiry`` gather on which generations (pairs of
    slot and number) the response rests, and when it expires (seconds since 1970).
    """

    __slots__ = ("expiry", "generations", "header", "trail")

    def __init__(self, generations: Generations) -> None:
        self.generations = generations
        header = generations.header()
        self.header = header if generations.vouches(header) else b""
        self.trail: list[tuple[int, int]] = []
        self.expiry = math.inf

    def holds(self, slot: int, cached: CachedPage) -> bool:
        """Whether a page of the slot is still valid."""
        # Read before the number is: what changes it after that changes this again.
        header = self.header
        if header and cached.header == header:
            return True
        if cached.generation != self.generations.generation(slot):
            return False
        cached.header = header
        return True

    def note(self, slot: int, cached: CachedPage) -> None:
        """Note that the response rests on a page."""
        self.trail.append((slot, cached.generation))
        # Not by min(): this is done twice for each name.
        if cached.expiry < self.expiry:
            self.expiry = cached.expiry


@dataclass(slots=True)
class Resolved:
    """What a place was resolved to, and on what that rests: see Revalidation."""

    value: object
    trail: tuple[tuple[int, int], ...]
    expiry: float
    header: bytes

    def holds(self, revalidation: Revalidation) -> bool:
        """Whether it is still valid."""
        header = revalidation.header
        if header and self.header == header:
            return True
        generation: Callable[[int], int] = revalidation.generations.generation
        if any(generation(slot) != number for slot, number in self.trail):
            return False
        self.header = header
        return True


V = TypeVar("V")


class Latest(Generic[V]):
    """A mapping of the latest ``room`` values that were set. Safe in threads."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._values: dict[Hashable, V] = {}
        self.get = self._values.get

    def set(self, key: Hashable, value: V) -> None:
        """Keep a value; where there is no room, the oldest ones go."""
        if len(self._values) >= self._room:
            for first in list(islice(self._values, max(self._room // 4, 1))):
                self._values.pop(first, None)
        if self._room:
            self._values[key] = value


class Places:
    """What places were resolved to, the latest of them. Safe in threads.

    A place is any key: a root and a path from it.
    """

    def __init__(self) -> None:
        self._resolved: Latest[Resolved] = Latest(PLACES)

    def get(
        self, place: Hashable, revalidation: Revalidation, longest: float
    ) -> object | None:
        """Return what a place was resolved to, if that is still valid."""
        found = self._resolved.get(place)
        if found is None or not found.holds(revalidation):
            return None
        return found.value if 0 < found.expiry - time.time() <= longest else None

    def set(self, place: Hashable, value: object, revalidation: Revalidation) -> None:
        """Remember what a place was resolved to with this revalidation alone."""
        trail = tuple(dict.fromkeys(revalidation.trail))
        resolved = Resolved(value, trail, revalidation.expiry, revalidation.header)
        self._resolved.set(place, resolved)
