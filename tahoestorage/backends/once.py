"""Values that are made once in a process, also where threads ask at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from tahoestorage import forks

Made = TypeVar("Made")


class OnceForEach(Generic[Made]):
    """Calls a function once for each set of arguments, and keeps what it returned.

    ``functools.cache`` calls it again for whoever asks before it has returned, and
    each of those would have another one.
    """

    def __init__(self, make: Callable[..., Made]) -> None:
        self._make = make
        self._made: dict[Hashable, Made] = {}
        self._lock = forks.Lock()

    def __call__(self, *arguments: Hashable, **named: Hashable) -> Made:
        """Return what was made for these arguments."""
        key = arguments, tuple(sorted(named.items()))
        try:
            return self._made[key]
        except KeyError:
            pass
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(*arguments, **named)
            return self._made[key]
