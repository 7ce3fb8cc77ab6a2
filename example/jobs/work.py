"""What a kind is given to do its work with, and what ends that early."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from config.errors import ForPeople
from jobs import leases
from jobs.models import Job

logger = logging.getLogger(__name__)
WRITTEN = 1.0  # seconds between two writes of the progress
TOLD = 10.0  # seconds between two lines of the log


class Interrupted(Exception):
    """The work is to end now, without a result. Tidy up, and let it go through."""


class Cancelled(Interrupted):
    """Somebody cancelled the job."""


class GivenBack(Interrupted):
    """This process ends: another worker begins the job anew, at once."""


class LeaseLost(Interrupted):
    """The job is another worker's by now, or is gone: nothing of it may be changed."""


class Failed(ForPeople):
    """The job has failed."""


class Work:
    """A job that this process has claimed.

    ``job`` is its row as it was claimed, ``arguments`` what it was started with.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.arguments: dict[str, Any] = job.arguments
        self.is_to_be_given_back = threading.Event()
        """Set by a worker that ends."""
        self._written = self._told = float("-inf")
        self._seen = leases.Seen.HELD

    def progress(self, done: int, of: int = 0) -> None:
        """Write how far it is, at most once a second, and hold the job for longer.

        ``of`` is 0 while it is not known. Raises Interrupted: Cancelled, LeaseLost, or
        GivenBack.
        """
        self.check()
        self.job.done, self.job.of = done, of
        now = time.monotonic()
        if now - self._written < WRITTEN:
            return
        self._written = now
        self._seen = leases.renew(self.job, done=done, of=of)
        self.check()
        if now - self._told >= TOLD:
            self._told = now
            logger.info("Job %s, %s: %s of %s", self.job.pk, self.job.kind, done, of)

    def check(self) -> None:
        """Raise Interrupted where the work is to end; a call costs nothing.

        Whether the job was cancelled, it knows some seconds later.
        """
        if self._seen is leases.Seen.LOST:
            raise LeaseLost("Another worker has the job.")
        if self._seen is leases.Seen.CANCELLED:
            raise Cancelled("The job was cancelled.")
        if self.is_to_be_given_back.is_set():
            raise GivenBack("The worker ends.")

    def hold(self) -> None:
        """Let nobody else have the job until the transaction around this call ends.

        What is written in that transaction is written by the one worker that has the
        job: raises LeaseLost where that is another. `check` knows afterwards whether
        the job was cancelled before.
        """
        self._seen = leases.renew(self.job)
        if self._seen is leases.Seen.LOST:
            raise LeaseLost("Another worker has the job.")

    def renew(self) -> None:
        """Hold the job for longer: a thread beside the work calls this."""
        self._seen = leases.renew(self.job)
