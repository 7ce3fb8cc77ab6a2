"""Threads that work off tasks, of which only a few wait."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
        self._most = 2 * jobs
        self._given: set[Future[object]] = set()
        self._stop = stop

    def do(self, task: Callable[..., object], *arguments: Any) -> None:
        """Have a task done, which must not raise; wait while too many others wait.

        It sees the context variables of the caller.
        """
        if len(self._given) >= self._most:
            self._given = wait(self._given, return_when=FIRST_COMPLETED).not_done
        run = contextvars.copy_context().run
        self._given.add(self._pool.submit(run, task, *arguments))

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
                wait(self._given)
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
            wait({task for task in self._given if not task.cancelled()})
        except KeyboardInterrupt:
            raise Impatient from None
