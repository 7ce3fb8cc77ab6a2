"""Exports go: bytes first, and then the row that counts them.

Whoever is killed in between, or finds the store away, leaves a mark in the row, and the
next tidying goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import quotas, stores
from accounts.models import User
from audit.actions import Action
from config import locks
from exports.models import Export
from exports.starting import note
from jobs import ending
from jobs.models import Job
from jobs.starting import start

logger = logging.getLogger(__name__)
STATE = Export.State
ENDED = (STATE.READY, STATE.FAILED, STATE.CANCELLED)
KIND = "exports.remove"
LATE = timedelta(hours=1)
"""After so long no worker writes still that lost its job to another."""
GRACE = timedelta(hours=1)
"""So long the bytes of what became too old stay, for those who are reading them."""


class Tidied(NamedTuple):
    """How many exports have nothing left that is to be deleted, and how many have."""

    exports: int
    left: int


def mark(
    export: Export,
    *,
    actor: User | None,
    among: QuerySet[Export] | None = None,
    going_since: datetime | None = None,
) -> bool:
    """Let the export be nobody's any more; False where it is not ended, or gone.

    With ``among``, only where it is one of those still. With ``going_since``, tidying
    deletes its bytes GRACE after that; else whoever calls does so now.
    """
    with transaction.atomic():
        rows = Export.objects.filter(pk=export.pk, state__in=ENDED)
        if among is not None:
            rows = rows.filter(pk__in=among.order_by().values("pk"))
        if not rows.update(state=STATE.GOING, going_since=going_since):
            return False
        # It may have become ready since it was read.
        export.refresh_from_db(fields=["state", "attempts", "size", "ready_at"])
        note(Action.EXPORT_DELETE, export, actor, size=export.size)
    return True


def delete(export: Export, *, actor: User) -> bool:
    """Let it be gone for everybody at once; a job deletes its bytes."""
    with transaction.atomic():
        if not mark(export, actor=actor):
            return False
        arguments = {"export": str(export.pk)}
        start(KIND, tenant=export.tenant, arguments=arguments)
    return True


def finish(export: Export) -> bool:
    """Delete the bytes of a marked export, and its row; False where some are left."""
    attempts = range(1, export.attempts + 1)
    # Each of them, also where one fails.
    deleted = [delete_key(export, attempt) for attempt in attempts]
    if not all(deleted):
        return False
    forget(export)
    return True


def forget(export: Export) -> None:
    """Delete the row of a marked export, whatever its store has of it."""
    with transaction.atomic():
        gone = Export.objects.filter(pk=export.pk, state=STATE.GOING).delete()[0]
        if gone and export.ready_at is not None:
            quotas.release(export.tenant_id, size=export.size, objects=0)


def end(job: Job) -> None:
    """Let an export whose job ended without a result have ended too."""
    export = locks.locked(Export.objects.filter(job=job)).first()
    if export is None or export.state != STATE.PENDING:
        return
    is_cancelled = job.state == Job.State.CANCELLED
    _end(
        export,
        STATE.CANCELLED if is_cancelled else STATE.FAILED,
        "" if is_cancelled else job.error or ending.unexpected(),
    )


def _end(export: Export, state: Export.State, error: str) -> None:
    """Let it have come to nothing; the caller has locked its row."""
    quotas.give_back(export.tenant_id, size=export.reserved, objects=0)
    Export.objects.filter(pk=export.pk).update(state=state, error=error, reserved=0)
    if state == STATE.CANCELLED:
        note(Action.EXPORT_CANCEL, export, None)  # By whom, the job's entry says.
    else:
        note(Action.EXPORT_FAIL, export, export.owner)


def tidy(on_each: Callable[[], None] = lambda: None) -> Tidied:
    """Delete what attempts left that did not win, and what is marked to go.

    An export that is said to be made still, and is not, has ended. What ``on_each``
    raises ends it; it is called before each from which bytes are deleted.
    """
    count = left = 0
    for pk in Export.objects.filter(state=STATE.PENDING, job=None).values("pk"):
        # The job went with its owner's row.
        with transaction.atomic():
            rows = locks.locked(Export.objects.filter(**pk))
            if export := rows.filter(state=STATE.PENDING, job=None).first():
                _end(export, STATE.FAILED, _("Who started it is not there any more."))
    untold = Job.objects.filter(export__state=STATE.PENDING, finished_at__isnull=False)
    for job_pk in untold.values_list("pk", flat=True):
        with transaction.atomic():
            # It may have been begun anew meanwhile.
            if job := locks.locked(untold.filter(pk=job_pk)).first():
                end(job)
    for export in Export.objects.filter(is_tidy=False, state__in=ENDED):
        ended = export.job.finished_at if export.job else export.created_at
        # Whoever lost the job may write still.
        if ended is None or ended > timezone.now() - LATE:
            continue
        on_each()
        won = export.attempts if export.state == STATE.READY else 0
        others = [n for n in range(1, export.attempts + 1) if n != won]
        deleted = [delete_key(export, attempt) for attempt in others]
        if all(deleted):
            Export.objects.filter(pk=export.pk).update(is_tidy=True)
        count += all(deleted)
        left += not all(deleted)
    going = Export.objects.filter(state=STATE.GOING)
    for export in going.exclude(going_since__gt=timezone.now() - GRACE):
        on_each()
        is_gone = finish(export)
        count += is_gone
        left += not is_gone
    return Tidied(count, left)


def delete_key(export: Export, attempt: int) -> bool:
    """Delete what an attempt wrote, if anything; False where the store can't now."""
    try:
        stores.storage_of(export.store).delete(export.key_of(attempt))
    except stores.StoreGone as error:
        logger.warning(
            "A part of export %s stays: %s Set it again, or let go of what it had by "
            "delete_old_exports --forget-store",
            export.pk,
            error,
        )
        return False
    except Exception:
        logger.exception("A part of export %s stays in its store", export.pk)
        return False
    return True
