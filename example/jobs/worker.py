"""A worker that needs no server but the database: what `manage.py jobs_worker` runs."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, close_old_connections, connections

from jobs import running, sweeping
from jobs.work import Work

logger = logging.getLogger(__name__)
AWAY = (Error, ImproperlyConfigured)
"""What asking the database raises while it, or the file of its password, is away."""
PATIENCE = 15.0
"""For so many seconds an ending worker waits for work that it wants back."""


class Worker:
    """Asks the database for jobs, and does them in threads of their own.

    `stop` ends it: what is under way has ``grace`` seconds to get done, and is given
    back after that.
    """

    def __init__(self, *, threads: int, poll: float, grace: float) -> None:
        self._threads, self._poll, self._grace = threads, poll, grace
        self._under_way: set[Work] = set()
        self._ended: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._stops = 0

    def stop(self) -> None:
        """End soon; called twice, give back at once what is under way."""
        # No lock: a signal handler may interrupt whoever holds it.
        self._stops += 1

    def run(self, *, once: bool = False) -> None:
        """Work until `stop`; with ``once`` until nothing is due.

        While the database is away it waits; with ``once`` it raises what that said.
        """
        is_away = False
        while not self._stops:
            close_old_connections()
            try:
                sweeping.sweep_if_due()
                self._begin()
            except AWAY as error:
                if once:
                    self._end()
                    raise
                if not is_away:  # Said once, and not each second.
                    logger.warning("Waiting, for the database failed: %s", error)
                is_away = True
                connections.close_all()
                time.sleep(1)
                continue
            if is_away:
                logger.info("The database is back")
            is_away = False
            if once and not self._under_way:
                return
            self._wait(self._poll)
        self._end()

    def _begin(self) -> None:
        """Claim as many jobs as threads are free, and begin them."""
        while len(self._under_way) < self._threads and not self._stops:
            work = running.claim()
            if work is None:
                return
            self._under_way.add(work)
            # One that hangs keeps no process from ending.
            threading.Thread(target=self._do, args=(work,), daemon=True).start()

    def _do(self, work: Work) -> None:
        try:
            running.run(work)
        except BaseException:
            # Its lease runs out, and another worker begins it anew.
            logger.exception("Job %s was not done", work.job.pk)
        finally:
            connections.close_all()
            self._ended.put(work)

    def _wait(self, seconds: float) -> None:
        """Return when some work has ended, or after so long."""
        with contextlib.suppress(queue.Empty):
            self._under_way.discard(self._ended.get(timeout=seconds))
            while True:
                self._under_way.discard(self._ended.get_nowait())

    def _end(self) -> None:
        if self._under_way:
            logger.info("Ending: %s under way", len(self._under_way))
        self._await_end(self._grace)
        for work in self._under_way:
            work.is_to_be_given_back.set()
        self._await_end(PATIENCE)
        for work in self._under_way:
            # It goes on until the process ends, and may write nothing any more.
            logger.warning("Job %s is taken from who does it", work.job.pk)
            try:
                running.give_back(work)
            except AWAY as error:  # Its lease runs out, and another worker has it.
                logger.warning("Job %s is not given back: %s", work.job.pk, error)

    def _await_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._under_way and self._stops < 2 and time.monotonic() < deadline:
            self._wait(min(0.2, seconds))
