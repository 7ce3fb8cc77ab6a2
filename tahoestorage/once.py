"""Values that are made once, also where threads ask at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Self, TypeVar, overload

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


class made_once(Generic[Made]):
    """An attribute that is made when it is first asked for, by one thread.

    ``functools.cached_property`` makes it again for whoever asks before it is there,
    and each of those would have another one. It is kept in the object's ``__dict__``
    by its name, so that whoever asks later pays for no lock.
    """

    def __init__(self, make: Callable[[Any], Made]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__
        # One for all objects: it is held for the little that first use takes. Making
        # one may ask for that of another object.
        self._lock = forks.RLock()

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Made: ...

    def __get__(self, instance: object | None, owner: type) -> Self | Made:
        if instance is None:
            return self
        kept = instance.__dict__
        with self._lock:
            if self._name not in kept:
                kept[self._name] = self._make(instance)
            made: Made = kept[self._name]
            return made
