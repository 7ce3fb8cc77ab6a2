"""Things that are made once in a process, also where threads ask at the same moment."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")

_all: weakref.WeakSet[OnceForEach[Any]] = weakref.WeakSet()


class OnceForEach(Generic[Made]):
    """Calls a function once for each set of arguments, and keeps what it returned.

    ``functools.cache`` calls it again for whoever asks before it has returned, and
    each of those would have another one.
    """

    def __init__(self, make: Callable[..., Made]) -> None:
        self._make = make
        self._made: dict[Hashable, Made] = {}
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Wait for no thread: in a child, where the others are gone."""
        self._lock = threading.Lock()

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


def _in_child() -> None:
    for each in list(_all):
        each.renew()


os.register_at_fork(after_in_child=_in_child)
