"""Threads that work off tasks, of which only a few wait."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from threading import Semaphore
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Impatient(KeyboardInterrupt):
    """Ctrl-C once more, while tasks were waited for: they still go on."""


class Pool:
    """Tasks in an executor, for a block; all of them are done when it ends.

    So many are given to it at a time. If the block ends with an exception, or is
    interrupted while it waits, ``stop`` is called, which the tasks under way must
    heed; the others are dropped.
    """

    def __init__(
        self, executor: Executor, at_once: int, stop: Callable[[], None]
    ) -> None:
        self._executor = executor
        # To wait for futures each time takes as long as to copy a small file.
        self._room = Semaphore(at_once)
        self._given: set[Future[Any]] = set()
        self._stop = stop

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        """Give a task to the executor; wait while there are too many."""
        self._room.acquire()
        given = self._executor.submit(task, *arguments)
        self._given.add(given)
        given.add_done_callback(self._done)
        return given

    def _done(self, given: Future[Any]) -> None:
        self._given.discard(given)
        self._room.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not by joining threads: one whose join was interrupted counts as ended.
        try:
            if exc_type is None:
                wait(set(self._given))
        except BaseException:
            self._abandon()
            raise
        patient = exc_type is not Impatient
        if exc_type is not None:
            self._abandon(patient=patient)
        self._executor.shutdown(wait=patient)

    def _abandon(self, *, patient: bool = True) -> None:
        self._stop()
        for given in set(self._given):
            given.cancel()
        try:
            if patient:
                wait(set(self._given))
        except KeyboardInterrupt:
            raise Impatient from None


class Workers(Pool):
    """``jobs`` threads; twice as many tasks are given to them at most."""

    def __init__(self, jobs: int, stop: Callable[[], None]) -> None:
        pool = ThreadPoolExecutor(jobs, thread_name_prefix="storage_copy")
        super().__init__(pool, 2 * jobs, stop)

    def do(self, task: Callable[..., object], *arguments: Any) -> None:
        """Have a task done, which must not raise; it sees the caller's context."""
        self.submit(contextvars.copy_context().run, task, *arguments)
