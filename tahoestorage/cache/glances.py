"""One look at the counters, on which a whole response rests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice

from tahoestorage.cache.generations import Generations
from tahoestorage.cache.memory import Held

# Places of which it is remembered what is there.
PLACES = 4096


class Glance:
    """The header of the counters as it was before a response was begun.

    It costs one small read. What was valid under the same header is valid; for other
    pages their directory's number is read. ``trail`` and ``expiry`` gather on which
    numbers the response rests, and until when it is good.
    """

    __slots__ = ("expiry", "generations", "header", "trail")

    def __init__(self, generations: Generations) -> None:
        self.generations = generations
        header = generations.header()
        self.header = header if generations.vouches(header) else b""
        self.trail: list[tuple[int, int]] = []
        self.expiry = math.inf

    def holds(self, slot: int, held: Held) -> bool:
        """Whether a page of the slot's is still valid."""
        # Read before the number is: what changes it after that changes this again.
        header = self.header
        if header and held.header == header:
            return True
        if held.generation != self.generations.generation(slot):
            return False
        held.header = header
        return True

    def note(self, slot: int, held: Held) -> None:
        """Note that the response rests on a page."""
        self.trail.append((slot, held.generation))
        self.expiry = min(self.expiry, held.expiry)


@dataclass(slots=True)
class Resolved:
    """What was found at a place, and on what that rests: see Glance."""

    value: object
    trail: tuple[tuple[int, int], ...]
    expiry: float
    header: bytes

    def holds(self, glance: Glance) -> bool:
        """Whether it is still so."""
        header = glance.header
        if header and self.header == header:
            return True
        generation: Callable[[int], int] = glance.generations.generation
        if any(generation(slot) != number for slot, number in self.trail):
            return False
        self.header = header
        return True


class Places:
    """What was found at some places, the last ones. Safe in threads."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Resolved] = {}

    def get(self, place: Hashable, glance: Glance, longest: float) -> object | None:
        """Return what was found there, if it is still so."""
        found = self._found.get(place)
        if found is None or not found.holds(glance):
            return None
        return found.value if 0 < found.expiry - time.time() <= longest else None

    def set(self, place: Hashable, value: object, glance: Glance) -> None:
        """Remember what was found there by this glance alone."""
        if len(self._found) >= PLACES:
            for old in list(islice(self._found, PLACES // 4)):
                self._found.pop(old, None)
        self._found[place] = Resolved(
            value, tuple(dict.fromkeys(glance.trail)), glance.expiry, glance.header
        )
