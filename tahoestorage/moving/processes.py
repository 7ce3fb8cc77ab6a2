"""Worker processes that copy small files, where one process does not suffice."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.sharedctypes import RawValue
from types import TracebackType
from typing import NamedTuple

from tahoestorage.display import reason
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.moving.copier import Copier, Outcome
from tahoestorage.moving.disk import Disk
from tahoestorage.moving.objects import Objects
from tahoestorage.moving.pool import Pool
from tahoestorage.moving.store import Found
from tahoestorage.moving.summary import passes
from tahoestorage.moving.throttle import Stopped, Throttle

SMALL = 1 << 20
SMALL_ON_AVERAGE = 1 << 17
MANY = 500
BATCH = 40
LOOK_SECONDS = 0.05
"""So often a thread that pauses looks whether the run was stopped."""
_DIED = "the process that copied it has died; the next run tries again"


class Result(NamedTuple):
    """What became of a file: an outcome and its bytes, or else why it failed."""

    outcome: Outcome | None
    size: int = 0
    why: str = ""
    passes: bool = False
    """Whether the next run may succeed without anybody doing something."""


class Totals(NamedTuple):
    """How many files a run has, of how many bytes, and how many are not small."""

    files: int = 0
    bytes: int = 0
    large: int = 0


Note = Callable[[Found, Result], None]


class _Flag:
    """A ``throttle.Signal`` that forks share.

    It has no lock, as an event of ``multiprocessing`` does: one that a process held
    when it was killed would stop all the others for ever.
    """

    def __init__(self) -> None:
        self._is_set = RawValue("b", 0)

    def is_set(self) -> bool:
        return bool(self._is_set.value)

    def set(self) -> None:
        self._is_set.value = 1

    def wait(self, timeout: float | None = None) -> bool:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
        return self.is_set()


class WorkerProcesses(Pool):
    """``processes`` forks of this process, each copying ``each`` files at a time.

    ``note`` is called once for each file that they take, in another thread, whatever
    happens to them, unless the run was stopped before the file was copied. This process
    must have one thread only when they are made. They end with the block, or with this
    process, whatever ends it.
    """

    def __init__(
        self,
        copier: Copier,
        processes: int,
        each: int,
        stop: Callable[[], None],
        note: Note,
    ) -> None:
        # Only a fork has the stores as they are, with secrets that no pickle holds.
        context = multiprocessing.get_context("fork")
        self._stopped = _Flag()
        self.at_once = processes * each
        """How many files they copy at a time."""
        self._note = note
        self._batch: list[Found] = []
        self._is_broken = False

        def stop_all() -> None:
            self._stopped.set()
            stop()

        with contextlib.ExitStack() as opened:
            # Nobody writes to it: it ends when this process closes it, or ends.
            alive = os.pipe()
            for descriptor in alive:
                opened.callback(os.close, descriptor)
            throttle = Throttle(stopped=self._stopped)
            executor = ProcessPoolExecutor(
                processes,
                mp_context=context,
                initializer=_begin,
                initargs=(replace(copier, throttle=throttle), each, alive),
            )
            super().__init__(executor, 2 * processes, stop_all)
            # Forks all of them, before there is a thread.
            self.submit(_copy_batch, [])
            self._opened = opened.pop_all()

    def take(self, found: Found) -> bool:
        """Have a file copied; return False for one that is large or of unknown size."""
        size = found.stat.size if found.stat else None
        if size is None or size > SMALL or self._is_broken:
            return False
        self._batch.append(found)
        if len(self._batch) == BATCH:
            self._flush()
        return True

    def _flush(self) -> None:
        batch, self._batch = self._batch, []

        def note_all(future: Future[list[Result | None]]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is None:
                results = future.result()
            elif self._stopped.is_set():
                return
            else:
                results = [self._failed(error)] * len(batch)
            for found, result in zip(batch, results, strict=True):
                if result is not None:
                    self._note(found, result)

        if not batch:
            return
        try:
            self.submit(_copy_batch, batch, then=note_all)
        except Exception as error:
            # Threads copy what comes after it.
            self._is_broken = True
            result = self._failed(error)
            for found in batch:
                self._note(found, result)

    def _failed(self, error: BaseException) -> Result:
        """Return what became of each file of a batch that has no results."""
        if isinstance(error, BrokenProcessPool):
            self._is_broken = True
            return Result(None, why=_DIED, passes=True)
        why = reason(error) if isinstance(error, Exception) else type(error).__name__
        return Result(None, why=f"the process that copied it failed: {why}")

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._opened:
            try:
                if exc_type is None:
                    self._flush()
            finally:
                super().__exit__(exc_type, exc_value, traceback)


def worker_processes(
    copier: Copier,
    jobs: int,
    totals: Totals,
    stop: Callable[[], None],
    note: Note,
) -> WorkerProcesses | None:
    """Return processes for ``jobs`` files at a time; None where they gain nothing.

    They gain where this machine is the bottleneck: many small files go from a disk to
    an object store, in one request each.
    """
    source, target = copier.source, copier.target
    limited = isinstance(source, Disk) and isinstance(target, Objects)
    alone = sys.platform == "linux" and threading.active_count() == 1
    small = totals.files >= MANY and totals.bytes <= totals.files * SMALL_ON_AVERAGE
    if not (limited and alone and small):
        return None
    # One job at least is left for what is large.
    at_once = jobs - bool(totals.large)
    processes = min(len(os.sched_getaffinity(0)), at_once // 2)
    if processes < 2:
        return None
    # Asked once here, before the fork, and not by each of them.
    with contextlib.suppress(TahoeStorageError):
        target.storage.conditional()
    try:
        return WorkerProcesses(copier, processes, at_once // processes, stop, note)
    except (OSError, ImportError, NotImplementedError):
        return None  # There is no shared memory.


# In a worker process

_copier: Copier
_threads: ThreadPoolExecutor


def _begin(copier: Copier, each: int, alive: tuple[int, int]) -> None:
    global _copier, _threads
    # A terminal sends Ctrl-C to all; the first process decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Or the first collection would copy all memory that is shared with it.
    gc.freeze()
    reading, writing = alive
    os.close(writing)

    def end_with_parent() -> None:
        os.read(reading, 1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    _copier, _threads = copier, ThreadPoolExecutor(each)


def _copy_batch(batch: list[Found]) -> list[Result | None]:
    tasks = [
        _threads.submit(contextvars.copy_context().run, _copy_one, found)
        for found in batch
    ]
    return [task.result() for task in tasks]


def _copy_one(found: Found) -> Result | None:
    try:
        return Result(*_copier.copy(found))
    except Stopped:
        return None
    except Exception as error:
        return Result(None, why=reason(error), passes=passes(error))
