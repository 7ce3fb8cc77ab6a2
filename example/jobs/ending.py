"""How a job ends: one UPDATE, and its kind is told, in one transaction."""

from __future__ import annotations

import logging
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Case, F, QuerySet, When
from django.utils import timezone
from django.utils.translation import gettext as _

from jobs import kinds
from jobs.models import Job

logger = logging.getLogger(__name__)
DATABASE_AWAY = (OperationalError, InterfaceError)
"""Errors of a database that is away, or locked for too long: worth trying again."""


def unexpected() -> str:
    """Return what people are told of an error that is in the log only."""
    return _("Something went wrong here. It was written down.")


def end(pk: Any, rows: QuerySet[Job], state: Job.State, **values: Any) -> bool:
    """End the job ``pk`` if it is among ``rows`` still; return whether it was.

    Where its kind fails to do its part, the job has failed, unless it was cancelled.
    Raises OperationalError and InterfaceError where the database fails: nothing is
    ended then, and the sweep does it when the lease has run out.
    """
    values |= {
        "state": state,
        # Only what was begun has taken a turn of its tenant's.
        "turn": Case(When(started_at=None, then=None), default=F("turn")),
        "token": None,
        "lease_until": None,
        "finished_at": timezone.now(),
    }
    rows = rows.filter(pk=pk)
    try:
        with transaction.atomic():
            if not rows.update(**values):
                return False
            _tell(pk)
    except DATABASE_AWAY:
        raise
    except Exception:
        logger.exception("The end of job %s could not be written as it was", pk)
        if state != Job.State.CANCELLED:
            values["state"] = Job.State.FAILED
        values |= {"result": None, "error": unexpected()}
        return bool(rows.update(**values))
    return True


def _tell(pk: Any) -> None:
    job = Job.objects.select_related("owner__tenant", "tenant").get(pk=pk)
    try:
        ended = kinds.find(job.kind).ended
    except LookupError:  # Of an app that is gone.
        return
    if ended is not None:
        ended(job)
