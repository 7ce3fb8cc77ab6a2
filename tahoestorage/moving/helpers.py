"""Processes that copy small files, where one alone keeps no store busy."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple

from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.moving.copying import Copier, Outcome
from tahoestorage.moving.disk import Disk
from tahoestorage.moving.objects import Objects
from tahoestorage.moving.store import Found
from tahoestorage.moving.summary import passes, reason
from tahoestorage.moving.throttle import Stopped, Throttle
from tahoestorage.moving.workers import Pool

SMALL = 1 << 20
SMALL_ON_AVERAGE = 1 << 17
MANY = 500
BATCH = 40
_DIED = "the process that copied it has died; the next run tries again"


class Brought(NamedTuple):
    """What became of a file: an outcome, or else why it failed."""

    outcome: Outcome | None
    size: int = 0
    why: str = ""
    passes: bool = False
    """Whether the next run may well do what this one could not."""


class Size(NamedTuple):
    """How many files a run has, of how many bytes, and how many are not small."""

    files: int = 0
    bytes: int = 0
    large: int = 0


Tell = Callable[[Found, Brought], None]


class Helpers(Pool):
    """``processes``, forked from this one, each of which copies ``each`` at a time.

    This process must have one thread only. Each file that is given to them is
    answered by ``tell``, in another thread, unless the run was stopped before it was
    copied. They end with this process, whatever ends it.
    """

    def __init__(
        self,
        copier: Copier,
        processes: int,
        each: int,
        stop: Callable[[], None],
        tell: Tell,
    ) -> None:
        # Only a fork has the stores as they are, with secrets that no pickle holds.
        context = multiprocessing.get_context("fork")
        self._stopped = context.Event()
        self.at_once = processes * each
        """How many files they copy at a time."""
        self._tell = tell
        self._batch: list[Found] = []
        self._is_broken = False
        # Nobody writes to it: it ends when this process does.
        self._alive = os.pipe()
        throttle = Throttle(stopped=self._stopped)
        executor = ProcessPoolExecutor(
            processes,
            mp_context=context,
            initializer=_begin,
            initargs=(replace(copier, throttle=throttle), each, self._alive),
        )

        def stop_all() -> None:
            self._stopped.set()
            stop()

        super().__init__(executor, 2 * processes, stop_all)
        # Forks all of them, before there is a thread.
        self.submit(_bring, [])

    def take(self, found: Found) -> bool:
        """Have a file copied, or return False where it is not for helpers."""
        size = found.stat.size if found.stat else None
        if size is None or size > SMALL or self._is_broken:
            return False
        self._batch.append(found)
        if len(self._batch) == BATCH:
            self._flush()
        return True

    def _flush(self) -> None:
        batch, self._batch = self._batch, []

        def done(given: Future[list[Brought | None]]) -> None:
            if given.cancelled():
                return
            results: list[Brought | None]
            try:
                results = given.result()
            except BrokenProcessPool:
                self._is_broken = True
                results = [Brought(None, why=_DIED, passes=True)] * len(batch)
            for found, brought in zip(batch, results, strict=True):
                if brought is not None:
                    self._tell(found, brought)

        if not batch:
            return
        try:
            self.submit(_bring, batch, then=done)
        except BrokenProcessPool:
            self._is_broken = True
            for found in batch:
                self._tell(found, Brought(None, why=_DIED, passes=True))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self._flush()
        finally:
            super().__exit__(exc_type, exc_value, traceback)
            for descriptor in self._alive:
                os.close(descriptor)


def helpers(
    copier: Copier,
    jobs: int,
    size: Size,
    stop: Callable[[], None],
    tell: Tell,
) -> Helpers | None:
    """Return helpers for a run, ``jobs`` files at a time; None where they gain nothing.

    They gain where this machine is what limits it: the files are small and many, and
    each is one request.
    """
    source, target = copier.source, copier.target
    limited = isinstance(source, Disk) and isinstance(target, Objects)
    alone = sys.platform == "linux" and threading.active_count() == 1
    small = size.files >= MANY and size.bytes <= size.files * SMALL_ON_AVERAGE
    if not (limited and alone and small):
        return None
    # One job at least is left for what is large.
    at_once = jobs - bool(size.large)
    processes = min(len(os.sched_getaffinity(0)), at_once // 2)
    if processes < 2:
        return None
    # What is found out now, they need not find out each.
    with contextlib.suppress(TahoeStorageError):
        target.storage.conditional()
    try:
        return Helpers(copier, processes, at_once // processes, stop, tell)
    except (OSError, ImportError, NotImplementedError):
        return None  # There is no shared memory.


# In a helper

_copier: Copier
_threads: ThreadPoolExecutor


def _begin(copier: Copier, each: int, alive: tuple[int, int]) -> None:
    global _copier, _threads
    # Ctrl-C is told to all; the first process says what follows from it.
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


def _bring(batch: list[Found]) -> list[Brought | None]:
    tasks = [
        _threads.submit(contextvars.copy_context().run, _bring_one, found)
        for found in batch
    ]
    return [task.result() for task in tasks]


def _bring_one(found: Found) -> Brought | None:
    try:
        return Brought(*_copier.bring(found))
    except Stopped:
        return None
    except Exception as error:
        return Brought(None, why=reason(error), passes=passes(error))
