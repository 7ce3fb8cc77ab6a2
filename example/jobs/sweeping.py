"""Jobs that nobody works on, found and put right; and periodic ones, started.

Each step is a conditional UPDATE of one row, so any number of sweeps at once do no
harm.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from config import locks
from jobs import ending, kinds, leases, sending
from jobs.models import Job, Period
from jobs.starting import start
from jobs.turns import ORDER, not_ended

logger = logging.getLogger(__name__)
EVERY = 15.0  # seconds
RESENT = timedelta(seconds=20)
"""After so long without a worker, a message counts as lost."""
MANY = 100
"""So many messages a sweep sends at most: where workers are busy, more are in vain."""
STATE = Job.State
_swept = float("-inf")


@dataclass
class Swept:
    """How many jobs a sweep changed, by what it did."""

    put_back: int = 0
    failed: int = 0
    cancelled: int = 0
    started: int = 0
    sent: int = 0


def sweep() -> Swept:
    """Put right what killed workers left, and start what is periodic."""
    swept, now = Swept(), timezone.now()
    left = not_ended().filter(leases.run_out(now), state=STATE.RUNNING)
    unclaimed = left | not_ended().filter(state=STATE.WAITING)
    for pk in _ids(unclaimed.filter(cancel_requested=True)):
        rows = unclaimed.filter(cancel_requested=True)
        swept.cancelled += _end(pk, rows, STATE.CANCELLED)
    exhausted = unclaimed.filter(attempts__gte=settings.JOBS_ATTEMPTS)
    for job in exhausted.only("pk", "error", "attempts"):
        error = job.error or _given_up(job.attempts)
        swept.failed += _end(job.pk, exhausted, STATE.FAILED, error=error)
    for one in locks.one_by_one(left):
        swept.put_back += one.update(
            state=STATE.WAITING, token=None, lease_until=None, sent_at=None, due_at=now
        )
    # What waits for longer than any job does was put there by a clock that was ahead.
    early = not_ended().filter(state=STATE.WAITING, due_at__gt=now + leases.FURTHEST)
    swept.put_back += sum(one.update(due_at=now) for one in locks.one_by_one(early))
    swept.started = start_periodic(now)
    if sending.has_broker():
        swept.sent = send_again(now)
    return swept


def sweep_if_due() -> None:
    """Sweep, if this process has not done so for ``EVERY`` seconds, and log it."""
    global _swept
    if time.monotonic() - _swept < EVERY:
        return
    _swept = time.monotonic()
    said = ", ".join(f"{many} {word}" for word, many in vars(sweep()).items() if many)
    if said:
        logger.info("Swept: %s", said.replace("_", " "))


def start_periodic(now: datetime) -> int:
    """Start a job of each periodic kind that is due; return how many.

    One UPDATE claims a period. Where a kind's last job has not ended, none is added. A
    period that begins later than any that is claimed now was claimed by a clock that
    was ahead, and is due.
    """
    due = dict(Period.objects.values_list("kind", "due_at"))
    started = 0
    for kind in kinds.periodics():
        if kind.every is None:
            continue
        latest = now + 2 * kind.every
        if kind.name in due and now < due[kind.name] <= latest:
            continue
        if kind.name not in due:
            Period.objects.get_or_create(kind=kind.name, defaults={"due_at": now})
        with transaction.atomic():
            is_due = Q(due_at__lte=now) | Q(due_at__gt=latest)
            period = Period.objects.filter(is_due, kind=kind.name)
            if not period.update(due_at=now + kind.every):
                continue
            jobs = Job.objects.filter(kind=kind.name)
            if not jobs.filter(state__in=(STATE.WAITING, STATE.RUNNING)).exists():
                start(kind.name)
                started += 1
    return started


def send_again(now: datetime) -> int:
    """Send the messages of jobs that wait for too long; return how many."""
    late = not_ended().filter(
        Q(sent_at=None) | Q(sent_at__lte=now - RESENT),
        state=STATE.WAITING,
        due_at__lte=now,
    )
    sent = 0
    for pk in _ids(late.order_by(*ORDER))[:MANY]:
        if late.filter(pk=pk).update(sent_at=now):
            if not sending.send(pk):
                break  # The broker is away: the others wait too.
            sent += 1
    return sent


def _end(pk: Any, rows: QuerySet[Job], state: Job.State, **values: Any) -> bool:
    """End a job, or leave it to the next sweep where the database fails just then."""
    try:
        return ending.end(pk, rows, state, **values)
    except ending.DATABASE_AWAY:
        logger.exception("The end of job %s is not written", pk)
        return False


def _ids(jobs: QuerySet[Job]) -> QuerySet[Job, Any]:
    return jobs.values_list("pk", flat=True)


def _given_up(attempts: int) -> str:
    return _(
        "It was begun %(attempts)s times, and each time its worker was killed, or lost "
        "the database."
    ) % {"attempts": attempts}
