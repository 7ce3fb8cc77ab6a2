"""Who works on a job: one at a time, whichever process or host it is on.

A lease is a token in the job's row, and a time. It is renewed while the work goes on,
and runs out soon after its holder was killed; then the next worker takes the job. What
a holder writes after that counts no more, for each change is one UPDATE on condition of
the token.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from jobs.models import Job
from jobs.turns import ORDER, Priority, not_ended, turn_for

LEASE = timedelta(seconds=20)
RENEWED = 5.0  # seconds
FURTHEST = timedelta(hours=1)
"""What is further ahead, a clock that was wrong has put there."""
STATE = Job.State
FEW = 8
"""Of so many jobs that wait, others that claim at the same time leave one."""


class Seen(enum.Enum):
    """What a renewal found out."""

    HELD = "it is still ours"
    CANCELLED = "it is ours, and somebody cancelled it"
    LOST = "it is another's by now, or gone"


def run_out(now: datetime) -> Q:
    """Return the condition for leases that have run out.

    One that ends much later than any that is given now was given by a clock that was
    ahead.
    """
    return Q(lease_until__lte=now) | Q(lease_until__gt=now + FURTHEST)


def open_jobs(now: datetime) -> QuerySet[Job]:
    """Return what may be claimed: due, or left by a worker whose lease ran out."""
    waiting = Q(state=STATE.WAITING, due_at__lte=now)
    left = Q(state=STATE.RUNNING) & run_out(now)
    return not_ended().filter(
        waiting | left, cancel_requested=False, attempts__lt=settings.JOBS_ATTEMPTS
    )


def claim(kinds: Collection[str], pk: Any = None) -> Job | None:
    """Claim that job, or the one whose turn it is; None where there is none.

    One UPDATE claims it: of many at once, one has it.
    """
    found = open_jobs(timezone.now()).filter(kind__in=kinds)
    if pk is not None:
        found = found.filter(pk=pk)
    for one in found.order_by(*ORDER).values_list("pk", flat=True)[:FEW]:
        token, now = uuid.uuid4(), timezone.now()
        if (
            open_jobs(now)
            .filter(pk=one)
            .update(
                state=STATE.RUNNING,
                token=token,
                lease_until=now + LEASE,
                attempts=F("attempts") + 1,
                started_at=now,
                done=0,
                of=0,
            )
        ):
            jobs = Job.objects.select_related("owner__tenant", "tenant")
            return jobs.filter(pk=one, token=token).first()
    return None


def held(job: Job) -> QuerySet[Job]:
    """Return the row of a job that was claimed, if it is the claimer's still."""
    return Job.objects.filter(pk=job.pk, token=job.token, state=STATE.RUNNING)


def renew(job: Job, **values: Any) -> Seen:
    """Hold a job for longer, and write these values."""
    values["lease_until"] = timezone.now() + LEASE
    if held(job).filter(cancel_requested=False).update(**values):
        return Seen.HELD
    return Seen.CANCELLED if held(job).update(**values) else Seen.LOST


def put_back(
    job: Job,
    *,
    after: timedelta | None = None,
    error: str = "",
    counts: bool = True,
) -> bool:
    """Let others begin the job anew; False where it is another's, or cancelled.

    Without ``after`` it is due now and keeps its turn, and this attempt does not count.
    Else it has a new turn: who has much that fails takes no more turns than others; and
    the attempt counts if it ``counts``.
    """
    now = timezone.now()
    values: dict[str, Any] = {"due_at": now}
    if after is not None:
        turn = turn_for(job.tenant_id, Priority(job.priority))
        values = {"turn": turn, "due_at": now + after, "started_at": None}
    if after is None or not counts:
        values["attempts"] = F("attempts") - 1
    return bool(
        held(job)
        .filter(cancel_requested=False)
        .update(
            state=STATE.WAITING,
            token=None,
            lease_until=None,
            sent_at=None,
            error=error,
            **values,
        )
    )
