"""One registry of what is closed before a fork, and made anew in the child.

A child has one thread, and a copy of all memory: locks that other threads held are
held for ever, and connections are still the parent's. Whatever has such a thing is
registered here. Before a fork gates are shut, then the functions given to ``before``
are called. In the child gates come first again, then the functions given to
``in_child``, then all objects in the order in which they were made: an object stands on
those that were made before it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Protocol

WAIT_SECONDS = 1.0
"""For so long a fork waits until all are out of a gate."""

Hook = Callable[[], object]


class Forkable(Protocol):
    """Something that holds what a child can't use."""

    def after_fork(self) -> None:
        """Take nothing over from the parent: no lock, no thread and no connection."""


_count = itertools.count()
_gates: weakref.WeakValueDictionary[int, Gate] = weakref.WeakValueDictionary()
_objects: weakref.WeakValueDictionary[int, Forkable] = weakref.WeakValueDictionary()
_before: list[Hook] = []
_in_child: list[Hook] = []
_forking = threading.local()


def register(each: Forkable) -> None:
    """Have ``after_fork`` of an object called in each child, as long as it lives."""
    _objects[next(_count)] = each


def before(hook: Hook) -> None:
    """Have a function called before each fork, while all gates are shut."""
    _before.append(hook)


def in_child(hook: Hook) -> None:
    """Have a function called in each child."""
    _in_child.append(hook)


class Lock:
    """A lock, for ``with``, that is free in a child, whoever has it in the parent."""

    def __init__(self) -> None:
        self.after_fork()
        register(self)

    def after_fork(self) -> None:
        """Be free."""
        self._lock: threading.Lock | threading.RLock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        # Whoever forked inside of it comes out of another one in the child.
        with contextlib.suppress(RuntimeError):
            self._lock.release()


class RLock(Lock):
    """A lock of that kind which the thread that has it may take once more."""

    def after_fork(self) -> None:
        """Be free."""
        self._lock = threading.RLock()


class Gate:
    """Lets any number of threads in, and none while somebody forks.

    Not to be entered twice by one thread.
    """

    def __init__(self) -> None:
        self.after_fork()
        _gates[next(_count)] = self

    def after_fork(self) -> None:
        """Be open, with nobody inside."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._forking = 0

    def __enter__(self) -> None:
        with self._lock:
            while self._forking:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._forking:
                self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in, and wait until all are out; for a second at most."""
        with self._changed:
            self._forking += 1
            self._changed.wait_for(lambda: self._inside <= 0, WAIT_SECONDS)

    def open(self) -> None:
        """Let them in again."""
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()


def _call(hooks: Iterable[Hook]) -> None:
    """Call all of them; what the first to fail raised is raised after the last."""
    failure: Exception | None = None
    for hook in hooks:
        try:
            hook()
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure  # Python reports it, and forks all the same.


def _shut() -> None:
    # Others may be made by another thread before the fork is over.
    gates = _forking.gates = list(_gates.values())
    _call([*(gate.shut for gate in gates), *_before])


def _open() -> None:
    _call([gate.open for gate in _forking.__dict__.pop("gates")])


def _renew() -> None:
    gates, objects = list(_gates.values()), list(_objects.values())
    _call(
        [
            *(gate.after_fork for gate in gates),
            *_in_child,
            *(each.after_fork for each in objects),
        ]
    )


os.register_at_fork(before=_shut, after_in_parent=_open, after_in_child=_renew)
