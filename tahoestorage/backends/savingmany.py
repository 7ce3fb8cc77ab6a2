"""Many files saved or deleted by one call: in parallel, yielded in their order.

Where many are linked by one change, ``savingtogether`` does it.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tahoestorage.exceptions import (
    NotAllDeleted,
    NotAllSaved,
    StoreError,
    printable,
)

R = TypeVar("R")
Pair = tuple[str | None, Any]
Attempt = Callable[[Any, Any], R]
Errors = dict[int, tuple[str, Exception]]
"""The name that was asked for and its error, by position."""

AHEAD = 2
"""So many files for each thread are taken from the caller before they are sent."""


class Sender:
    """Calls functions for pairs of name and content, in ``jobs`` threads.

    And other functions beside them, one at a time. It is for one thread's use.
    """

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise ValueError(f"jobs is {jobs}; expected 1 or more")
        self.ahead = AHEAD * jobs
        self.has_failed = False
        """Whether a call has raised."""
        self._under_way = 0
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(jobs, "many_files")
        self._beside = ThreadPoolExecutor(1, "many_files_beside")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the block, calls can be made. What is left at its end is not begun."""
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Begin none of the calls that are left; wait for those that have begun."""
        try:
            # In this order: what is beside them may wait for what is cancelled here.
            self._threads.shutdown(cancel_futures=True)
        finally:
            self._beside.shutdown(cancel_futures=True)

    @property
    def has_room(self) -> bool:
        """Whether fewer than ``ahead`` calls are under way."""
        return self._under_way < self.ahead

    def call(self, function: Attempt[R], pair: Pair) -> Future[R]:
        """Have it called; wait while ``ahead`` calls are under way."""
        self.wait(lambda: self.has_room)
        with self._changed:
            self._under_way += 1
        # The caller's prefetch blocks hold in the thread, too.
        run = contextvars.copy_context().run
        future = self._threads.submit(run, function, *pair)
        future.add_done_callback(self._ended)
        return future

    def call_beside(self, function: Callable[[], R]) -> Future[R]:
        """Have a function called in a thread of its own."""
        future = self._beside.submit(contextvars.copy_context().run, function)
        future.add_done_callback(self._woken)
        return future

    def wait(self, is_ready: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until this holds; it is asked again whenever something has ended.

        For so many seconds at most, where they are given.
        """
        with self._changed:
            self._changed.wait_for(is_ready, seconds)

    def _ended(self, future: Future[Any]) -> None:
        failed = not future.cancelled() and future.exception() is not None
        with self._changed:
            self.has_failed |= failed
            self._under_way -= 1
            self._changed.notify()

    def _woken(self, _: Future[Any]) -> None:
        with self._changed:
            self._changed.notify()


@dataclass(frozen=True)
class Deed:
    """What is done to many files, and how that is told."""

    call: str
    done: str
    is_done: str
    again: str
    kind: type[NotAllSaved | NotAllDeleted]

    def error(
        self,
        errors: Errors,
        done: dict[int, str],
        failure: Exception | None = None,
    ) -> StoreError:
        """Return what is raised where it was not done to some files.

        ``failure`` is that of the caller's iterable. ``done`` is what was not yielded.
        """
        name, first = errors[min(errors)]
        others = f", and {len(errors) - 1} other files" if len(errors) > 1 else ""
        error = self.kind(
            f"{name}{others}: not {self.done}: {first}; what was yielded is "
            f"{self.is_done}, and so is what stands in `{self.done}`; {self.again} the "
            "rest again",
            errors,
            done,
        )
        # Those of files stand in ``errors``; the iterable's one stands nowhere else.
        cause = failure or (first if isinstance(first, StoreError) else None)
        error.__cause__ = cause
        return error

    def note(
        self, error: BaseException, done: Mapping[int, str], undone: Mapping[int, str]
    ) -> None:
        """Say with what ends the call, such as Ctrl-C, to which files it was done.

        ``done`` was not yielded. Both are names by position, from 0.
        """
        told = f"{self.call} ended here: what was yielded is {self.is_done}"
        if done:
            told += f", and so is what was number {_listed(done)}"
        if undone:
            told += f"; not {self.done}: number {_listed(undone)}"
        error.add_note(f"{told}; and nothing after that")


SAVED = Deed("save_many", "saved", "safe", "save", NotAllSaved)
DELETED = Deed("delete_many", "deleted", "gone", "delete", NotAllDeleted)


def _listed(names: Mapping[int, str]) -> str:
    """Return names by position as a text, of which each range is told by its ends."""
    ranges: list[list[int]] = []
    for number in sorted(names):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join(
        f"{' to '.join(map(str, ends))} "
        f"({' to '.join(printable(names[number]) for number in ends)})"
        for ends in ranges
    )


def save_each(
    save: Attempt[str], pairs: Iterable[Pair], sender: Sender
) -> Iterator[str]:
    """Save each pair by ``save``, and yield the names that it returns, in their order.

    Raises NotAllSaved after the first error: what was under way is ended first. So it
    is before an error of ``pairs`` is raised, which is NotAllSaved's cause where there
    are both.
    """
    return _do_each(save, pairs, sender, SAVED)


def delete_each(
    delete: Callable[[str], None], names: Iterable[str], sender: Sender
) -> Iterator[str]:
    """Delete each file by ``delete``, and yield the names, in their order.

    Raises NotAllDeleted after the first error, and what ``names`` raises, as
    ``save_each`` does.
    """

    def gone(name: str, _: None) -> str:
        delete(name)
        return name

    return _do_each(gone, ((name, None) for name in names), sender, DELETED)


def _do_each(
    act: Attempt[str], pairs: Iterable[Pair], sender: Sender, deed: Deed
) -> Iterator[str]:
    source, is_ended = enumerate(pairs), False
    failure: Exception | None = None
    under_way: deque[tuple[int, str, Future[str]]] = deque()
    errors: Errors = {}
    done: dict[int, str] = {}
    try:
        while True:
            is_ended |= sender.has_failed
            while not is_ended and len(under_way) < sender.ahead:
                try:
                    number, (name, content) = next(source)
                except StopIteration:
                    is_ended = True
                except Exception as error:
                    failure, is_ended = error, True
                else:
                    call = sender.call(act, (name, content))
                    under_way.append((number, name_asked(name, content), call))
            if not under_way or under_way[0][2].exception() is not None:
                break
            yield under_way.popleft()[2].result()
        for number, name, future in under_way:
            failed = future.exception()
            if failed is None:
                done[number] = future.result()
            else:
                errors[number] = name, as_error(failed)
    except BaseException as interruption:
        sender.end()
        undone: dict[int, str] = {}
        for number, name, future in under_way:
            if future.cancelled() or future.exception() is not None:
                undone[number] = name
            else:
                done[number] = future.result()
        deed.note(interruption, done, undone)
        raise
    if errors:
        raise deed.error(errors, done, failure)
    if failure is not None:
        raise failure


def name_asked(name: Any, content: Any) -> str:
    """Return the name that a pair asks for: that of its content where it has None.

    An empty one, which no file can have, where the content has none either.
    """
    name = getattr(content, "name", None) if name is None else name
    return "" if name is None else str(name)


def as_error(error: BaseException) -> Exception:
    """Return an error that can be told; raise an interruption, which is none."""
    if not isinstance(error, Exception):
        raise error
    return error
