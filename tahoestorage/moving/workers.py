"""Threads that work off tasks, of which only a few wait."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Semaphore
from types import TracebackType
from typing import Any, Self


class Impatient(KeyboardInterrupt):
    """Ctrl-C once more, while tasks were waited for: they still go on."""


class Workers:
    """``jobs`` threads, for a block; all tasks are done when it ends.

    If it ends with an exception, or is interrupted while it waits, ``stop`` is called,
    which those under way must heed; the others are dropped.
    """

    def __init__(self, jobs: int, stop: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="storage_copy")
        # To wait for futures each time takes as long as to copy a small file.
        self._room = Semaphore(2 * jobs)
        self._given: set[Future[object]] = set()
        self._stop = stop

    def do(self, task: Callable[..., object], *arguments: Any) -> None:
        """Have a task done, which must not raise; wait while too many others wait.

        It sees the context variables of the caller.
        """
        self._room.acquire()
        run = contextvars.copy_context().run
        given = self._pool.submit(run, task, *arguments)
        self._given.add(given)
        given.add_done_callback(self._done)

    def _done(self, given: Future[object]) -> None:
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
        if exc_type is not None:
            self._abandon()
        self._pool.shutdown()

    def _abandon(self) -> None:
        self._stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            wait(set(self._given))
        except KeyboardInterrupt:
            raise Impatient from None
