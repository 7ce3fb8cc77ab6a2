"""Pools of workers with a bounded queue, which last for one block of code."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Condition, Semaphore
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Impatient(KeyboardInterrupt):
    """A second Ctrl-C, while tasks were waited for: they still run."""


class Pool:
    """Tasks in an executor, for a block; all of them are done when it ends.

    At most ``at_once`` are with the executor at a time. If the block ends with an
    exception, or is interrupted while it waits, ``stop`` is called, which the tasks
    under way must heed; the others are dropped. Raises Impatient where that waiting
    is interrupted too.
    """

    def __init__(
        self, executor: Executor, at_once: int, stop: Callable[[], None]
    ) -> None:
        self._executor = executor
        # To wait for futures each time takes as long as to copy a small file.
        self._room = Semaphore(at_once)
        self._pending: set[Future[Any]] = set()
        self._changed = Condition()
        self._stop = stop

    def submit(
        self,
        task: Callable[..., T],
        *arguments: Any,
        then: Callable[[Future[T]], None] | None = None,
    ) -> Future[T]:
        """Give a task to the executor; wait while there are too many.

        ``then`` gets its future when that is done or cancelled, in another thread as
        a rule; the block does not end before it has returned.
        """

        def done(future: Future[T]) -> None:
            try:
                if then is not None:
                    then(future)
            finally:
                with self._changed:
                    self._pending.discard(future)
                    self._changed.notify_all()
                self._room.release()

        self._room.acquire()
        try:
            future = self._executor.submit(task, *arguments)
        except BaseException:
            self._room.release()
            raise
        hooked = False
        try:
            with self._changed:
                self._pending.add(future)
            future.add_done_callback(done)
            hooked = True
        finally:
            # Interrupted between the two, nobody would tell that it is done.
            if not hooked:
                with self._changed:
                    self._pending.discard(future)
        return future

    def _wait(self) -> None:
        # Not for the futures: one is done before its callbacks are. And not by joining
        # threads: one whose join was interrupted counts as ended.
        with self._changed:
            self._changed.wait_for(lambda: not self._pending)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self._end()
            else:
                self._abandon(patient=exc_type is not Impatient)
        finally:
            # Whoever is impatient waits for no task; without any it takes no time.
            self._executor.shutdown(wait=not self._pending)

    def _end(self) -> None:
        try:
            self._wait()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self, *, patient: bool = True) -> None:
        self._stop()
        with self._changed:
            pending = set(self._pending)
        try:
            for future in pending:
                future.cancel()
            if patient:
                self._wait()
        except KeyboardInterrupt:
            raise Impatient from None


_slots: ContextVar[Semaphore | None] = ContextVar("slots", default=None)


@contextmanager
def resting() -> Iterator[None]:
    """Let another task of WorkerThreads work while this one waits, for a block."""
    slots = _slots.get()
    if slots is None:
        yield
        return
    slots.release()
    try:
        yield
    finally:
        slots.acquire()


class WorkerThreads(Pool):
    """Threads in which ``jobs`` tasks work at a time, and ``rest`` others may rest.

    As many tasks as work are queued at most.
    """

    def __init__(self, jobs: int, stop: Callable[[], None], *, rest: int = 0) -> None:
        pool = ThreadPoolExecutor(jobs + rest, thread_name_prefix="storage_copy")
        self._slots = Semaphore(jobs)
        self._is_stopped = False

        def stop_all() -> None:
            self._is_stopped = True
            stop()

        super().__init__(pool, 2 * jobs + rest, stop_all)

    def do(self, task: Callable[..., object], *arguments: Any) -> None:
        """Run a task, which must not raise, in a copy of the caller's context."""
        run = contextvars.copy_context().run
        self.submit(run, self._in_slot, task, *arguments)

    def _in_slot(self, task: Callable[..., object], *arguments: Any) -> None:
        with self._slots:
            _slots.set(self._slots)
            # Many may have waited for the slot, and need not begin any more.
            if not self._is_stopped:
                task(*arguments)
