"""Single flight: threads that want the same thing at once share one request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from tahoestorage import forks
from tahoestorage.exceptions import TahoeStorageError, printable

T = TypeVar("T")


class FlightTimeout(Exception):
    """Another thread's request took longer than the caller may wait."""


@dataclass(eq=False)
class Flight(Generic[T]):
    """A request that is under way or, once it has landed, what came of it.

    ``ticket`` says how things were before it was sent. Without a value and without an
    error it was given up. ``began`` and ``landing`` are numbers of one count, which
    goes on whenever a flight begins or lands.
    """

    began: int
    label: str
    landed: threading.Event = field(default_factory=threading.Event)
    landing: float = math.inf
    ticket: Any = None
    value: T | None = None
    error: TahoeStorageError | None = None


@dataclass(eq=False)
class _Asked:
    """The latest flight of those that ask one thing, and how many threads want it."""

    threads: int = 0
    latest: Flight[Any] | None = None


class SingleFlight:
    """Lets threads that want the same thing share one request. Safe in forks.

    The first to come sends it, the others wait for its response. Whether a request that
    was sent before a thread came is good enough for it, ``holds`` says. If not, the
    thread takes the next one, which it sends unless another has. So each thread waits
    for two requests at most.
    """

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin with none under way: in a child, whose other threads are gone."""
        self._lock = threading.Lock()
        self._asked: dict[Hashable, _Asked] = {}
        self._count = 0

    def share(
        self,
        key: Hashable,
        ask: Callable[[], T],
        *,
        label: str,
        recall: Callable[[], T | None],
        ticket: Callable[[], Any],
        holds: Callable[[Flight[T], Any], bool],
        seconds: float,
    ) -> T:
        """Return what ``ask`` returns, or raise what it raises: here or elsewhere.

        ``key`` is what is asked, ``label`` begins errors. ``recall`` returns what is
        known by now, or None: a flight may have landed since the caller looked.
        ``holds`` is given a flight that began earlier, and the caller's own ``ticket``.
        Each caller gets an error of his own. Raises FlightTimeout if another one's
        request takes ``seconds``.
        """
        with self._lock:
            asked = self._asked.setdefault(key, _Asked())
            asked.threads += 1
            came = self._count
        try:
            flight, to_fly = self._board(asked, came, label, ticket, holds, seconds)
            if to_fly:
                return self._fly(flight, ask, recall, ticket)
            if flight.error is not None:
                raise _relabelled(flight.error, flight.label, label)
            return cast(T, flight.value)
        finally:
            with self._lock:
                asked.threads -= 1
                if not asked.threads and self._asked.get(key) is asked:
                    del self._asked[key]

    def _board(
        self,
        asked: _Asked,
        came: int,
        label: str,
        ticket: Callable[[], Any],
        holds: Callable[[Flight[T], Any], bool],
        seconds: float,
    ) -> tuple[Flight[T], bool]:
        """Return another one's flight, which has landed, or one that is to be flown."""
        deadline = time.monotonic() + seconds
        mine: Any = None
        refused: Flight[T] | None = None
        while True:
            with self._lock:
                flight: Flight[T] | None = asked.latest
                if flight is None or flight is refused or flight.landing <= came:
                    self._count += 1
                    flight = asked.latest = Flight(self._count, label)
                    return flight, True
            if flight.began <= came and mine is None:
                mine = ticket()
            if not flight.landed.wait(max(0.0, deadline - time.monotonic())):
                raise FlightTimeout
            given_up = flight.value is None and flight.error is None
            if not given_up and (flight.began > came or holds(flight, mine)):
                return flight, False
            refused = flight

    def _fly(
        self,
        flight: Flight[T],
        ask: Callable[[], T],
        recall: Callable[[], T | None],
        ticket: Callable[[], Any],
    ) -> T:
        try:
            # All this after others can see the flight: no other one can land between,
            # and whoever sees it later than he came knows that it began later.
            cached = recall()
            if cached is not None:
                return cached
            flight.ticket = ticket()
            flight.value = value = ask()
            return value
        except TahoeStorageError as error:
            flight.error = _relabelled(error, flight.label, flight.label)
            raise
        finally:
            with self._lock:
                self._count += 1
                flight.landing = self._count
            flight.landed.set()


def _relabelled(error: TahoeStorageError, other: str, label: str) -> TahoeStorageError:
    """Return the same error, without its traceback, told of ``label``."""
    other, label = printable(f"{other}: "), printable(f"{label}: ")
    return type(error)(
        *(
            label + each[len(other) :]
            if isinstance(each, str) and each.startswith(other)
            else each
            for each in error.args
        )
    )
