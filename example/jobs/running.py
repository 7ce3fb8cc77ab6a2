"""Doing a job that was claimed, and writing how it ended: the same for each worker."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.quotas import QuotaExceeded
from config.errors import ForPeople
from config.renewing import renewed
from config.texts import storable
from jobs import ending, kinds, leases, sending
from jobs.models import Job
from jobs.work import Cancelled, Failed, GivenBack, LeaseLost, Work
from tahoestorage.exceptions import TahoeStorageError, printable

logger = logging.getLogger(__name__)
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
finished = Signal()
"""Sent when this process has done with a job, in whatever way, outside transactions."""
active: set[Work] = set()
"""What this process works on."""


def claim(pk: Any = None) -> Work | None:
    """Claim that job, or the next that is due; None where there is none."""
    job = leases.claim(kinds.names(), pk)
    return None if job is None else Work(job)


def run(work: Work) -> None:
    """Do the work, hold its lease meanwhile, and write how it ended.

    Where the database can't be written, nothing is: the lease runs out then, and
    another worker begins the job anew.
    """
    job, kind = work.job, kinds.find(work.job.kind)
    logger.info("Job %s, %s: attempt %s begins", job.pk, job.kind, job.attempts)
    active.add(work)
    try:
        with renewed(work.renew, leases.RENEWED, f"Job {work.job.pk}"):
            how = _do(work, kind)
    except (DatabaseError, InterfaceError):
        logger.exception("Job %s, %s: its end is not written", job.pk, job.kind)
        return
    finally:
        active.discard(work)
        finished.send_robust(sender=Job)
    logger.info("Job %s, %s: %s", job.pk, job.kind, how)


def run_waiting() -> int:
    """Do all that is due, one after another in this thread; return how many jobs."""
    count = 0
    while work := claim():
        run(work)
        count += 1
    return count


def _do(work: Work, kind: kinds.JobKind) -> str:
    """Do the work, write its end, and return that in words."""
    try:
        result = kind.run(work)
    except LeaseLost:
        return "another worker has it"
    except GivenBack:
        return give_back(work)
    except Cancelled:
        return _end(work, Job.State.CANCELLED, "cancelled")
    except Exception as error:
        return _fail(work, kind, error)
    return _end(work, Job.State.DONE, "done", result=result, error="")


def give_back(work: Work) -> str:
    """Let another worker begin the job anew, at once; return in words what it is."""
    if leases.put_back(work.job):
        sending.send(work.job.pk)
        return "given back"
    return _end(work, Job.State.CANCELLED, "cancelled")


def _fail(work: Work, kind: kinds.JobKind, error: Exception) -> str:
    job = work.job
    if isinstance(error, Failed):
        # It may have a name in it, as somebody gave it.
        logger.warning("Job %s, %s: %s", job.pk, job.kind, printable(str(error)))
    else:
        logger.error("Job %s, %s failed", job.pk, job.kind, exc_info=error)
    told = _told(error)
    counts = job.attempts < settings.JOBS_ATTEMPTS
    is_worth_it = counts or timezone.now() < job.created_at + kind.patience
    if isinstance(error, (*kind.retry_on, *ending.DATABASE_AWAY)) and is_worth_it:
        pause = LONGEST_PAUSE
        if counts:
            pause = min(FIRST_PAUSE * 2 ** (job.attempts - 1), LONGEST_PAUSE)
        if leases.put_back(job, after=pause, error=told, counts=counts):
            return f"tried again in {pause.total_seconds():.0f} s"
        return _end(work, Job.State.CANCELLED, "cancelled")
    return _end(work, Job.State.FAILED, "failed", error=told)


def _told(error: Exception) -> str:
    """Return a sentence for people, without what the error's own text may tell."""
    if isinstance(error, ForPeople | QuotaExceeded):
        return storable(str(error))
    if isinstance(error, OSError | TahoeStorageError):
        return _("The store failed. Please try again later.")
    if isinstance(error, ending.DATABASE_AWAY):
        return _("The database failed. Please try again later.")
    return ending.unexpected()


def _end(work: Work, state: Job.State, how: str, **values: Any) -> str:
    job = work.job
    values |= {"done": job.done, "of": job.of}
    is_ours = ending.end(job.pk, leases.held(job), state, **values)
    return how if is_ours else "another worker has it"
