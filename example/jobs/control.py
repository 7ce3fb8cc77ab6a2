"""What people do to jobs: see them, cancel them, have them tried again."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from audit.actions import Action
from audit.recording import record
from jobs import ending, kinds, leases, sending
from jobs.models import Job
from jobs.turns import Priority, turn_for

STATE = Job.State


def visible(user: User | AnonymousUser) -> QuerySet[Job]:
    """Return the jobs that the user may see and cancel.

    Their own; for a tenant's administrator all of the tenant; for the operator all.
    """
    jobs = Job.objects.all()
    if not isinstance(user, User) or not user.is_active:
        return jobs.none()
    if user.is_super_administrator:
        return jobs
    if user.is_administrator:
        return jobs.filter(tenant=user.tenant_id)
    return jobs.filter(owner=user.pk, tenant=user.tenant_id)


def cancel(job: Job, *, actor: User | None) -> bool:
    """Have a job end without a result; False where it has ended already.

    One that waits is cancelled at once. Who works on one stops within seconds; if just
    then it is done, it stays done.
    """
    rows = Job.objects.filter(pk=job.pk, state__in=(STATE.WAITING, STATE.RUNNING))
    with transaction.atomic():
        if not rows.update(cancel_requested=True):
            return False
        record(Action.JOB_CANCEL, job, tenant_id=job.tenant_id, actor=actor)
        nobody_has_it = Q(state=STATE.WAITING) | leases.run_out(timezone.now())
        ending.end(job.pk, rows.filter(nobody_has_it), STATE.CANCELLED)
    return True


def try_again(job: Job, *, actor: User | None) -> bool:
    """Begin a job anew that has failed or was cancelled; False where it is neither."""
    rows = Job.objects.filter(pk=job.pk, state__in=(STATE.FAILED, STATE.CANCELLED))
    now = timezone.now()
    with transaction.atomic():
        if not rows.update(
            state=STATE.WAITING,
            turn=turn_for(job.tenant_id, Priority(job.priority)),
            attempts=0,
            done=0,
            error="",
            cancel_requested=False,
            started_at=None,
            finished_at=None,
            due_at=now,
            sent_at=now,
        ):
            return False
        record(Action.JOB_RETRY, job, tenant_id=job.tenant_id, actor=actor)
        _tell(job)
        transaction.on_commit(lambda: sending.send(job.pk), robust=True)
    return True


def _tell(job: Job) -> None:
    """Tell the kind of a job that it is tried again."""
    try:
        begun_again = kinds.find(job.kind).begun_again
    except LookupError:  # Of an app that is gone.
        return
    if begun_again is not None:
        begun_again(job)
