"""Many files saved or deleted by one call: in parallel, yielded in their order.

Where many are linked by one change, ``savingtogether`` does it.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from tahoestorage.exceptions import NotAllDeleted, NotAllSaved, StoreError

R = TypeVar("R")
Pair = tuple[str, Any]
Attempt = Callable[[str, Any], R]
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
            # In this order: what is beside them may wait for what is cancelled here.
            self._threads.shutdown(cancel_futures=True)
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

    def wait(self, is_ready: Callable[[], bool]) -> None:
        """Wait until this holds; it is asked again whenever something has ended."""
        with self._changed:
            self._changed.wait_for(is_ready)

    def _ended(self, future: Future[Any]) -> None:
        self.has_failed |= not future.cancelled() and future.exception() is not None
        with self._changed:
            self._under_way -= 1
            self._changed.notify()

    def _woken(self, _: Future[Any]) -> None:
        with self._changed:
            self._changed.notify()


def save_each(
    save: Attempt[str], pairs: Iterable[Pair], sender: Sender
) -> Iterator[str]:
    """Save each pair by ``save``, and yield the names that it returns, in their order.

    Raises NotAllSaved after the first error: what was under way is ended first.
    """
    return _do_each(save, pairs, sender, not_all_saved)


def delete_each(
    delete: Callable[[str], None], names: Iterable[str], sender: Sender
) -> Iterator[str]:
    """Delete each file by ``delete``, and yield the names, in their order.

    Raises NotAllDeleted after the first error: what was under way is ended first.
    """

    def gone(name: str, _: None) -> str:
        delete(name)
        return name

    return _do_each(gone, ((name, None) for name in names), sender, not_all_deleted)


def _do_each(
    act: Attempt[str],
    pairs: Iterable[Pair],
    sender: Sender,
    not_all: Callable[[Errors, dict[int, str]], StoreError],
) -> Iterator[str]:
    source = enumerate(pairs)
    under_way: deque[tuple[int, str, Future[str]]] = deque()
    while True:
        for number, pair in itertools.islice(source, sender.ahead - len(under_way)):
            under_way.append((number, pair[0], sender.call(act, pair)))
        if not under_way:
            return
        if under_way[0][2].exception() is not None:
            break
        yield under_way.popleft()[2].result()
    errors: Errors = {}
    done: dict[int, str] = {}
    for number, name, future in under_way:
        error = future.exception()
        if error is None:
            done[number] = future.result()
        else:
            errors[number] = name, as_error(error)
    raise not_all(errors, done)


def by_directory(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names by the part before their last slash."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[name.rpartition("/")[0]].append(name)
    return found


def as_error(error: BaseException) -> Exception:
    """Return an error that can be told; raise an interruption, which is none."""
    if not isinstance(error, Exception):
        raise error
    return error


def not_all_saved(errors: Errors, saved: dict[int, str]) -> NotAllSaved:
    """Return what is raised where some files were not saved."""
    name, first = errors[min(errors)]
    others = f", and {len(errors) - 1} other files" if len(errors) > 1 else ""
    error = NotAllSaved(
        f"{name}{others}: not saved: {first}; what was yielded is safe, and so is what "
        "stands in `saved`; save the rest again",
        errors,
        saved,
    )
    error.__cause__ = first if isinstance(first, StoreError) else None
    return error


def not_all_deleted(errors: Errors, deleted: dict[int, str]) -> NotAllDeleted:
    """Return what is raised where some files were not deleted."""
    name, first = errors[min(errors)]
    others = f", and {len(errors) - 1} other files" if len(errors) > 1 else ""
    error = NotAllDeleted(
        f"{name}{others}: not deleted: {first}; what was yielded is gone, and so is "
        "what stands in `deleted`; delete the rest again",
        errors,
        deleted,
    )
    error.__cause__ = first if isinstance(first, StoreError) else None
    return error
