"""In which order jobs are begun: in turns, so that no tenant waits for all of others.

Each job of a tenant has a turn after the one before, beginning at the turn that is
being done just now: of ten thousand jobs of one tenant and two of another, the two are
among the next four. (Start-time fair queueing: P. Goyal, H. M. Vin and H. Cheng,
SIGCOMM 1996, each job counting as much as another.)

A job that nobody waits for stands one turn further behind, and after the others of its
turn. While it waits, those that are started get later and later turns: so, however many
come, at most two of each other tenant are begun before it.

One that is tried again after an error has a new turn. One that was given back, or left
by a killed worker, keeps its own, so that it is soon begun anew.

Two jobs started at once may get the same turn, which does no harm.
"""

from __future__ import annotations

import enum
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from jobs.models import Job

ORDER = ("turn", "priority", "due_at")
"""Of those that are due, the first is begun first; an index has them so."""


class Priority(enum.IntEnum):
    """Who waits for a job; the lower is done first. The value is a number of turns."""

    AWAITED = 0
    BACKGROUND = 1


def turn_for(tenant_id: Any, priority: Priority) -> int:
    """Return the turn of a new job of the tenant, or of the site where it is None."""
    now = _now()
    # Those that have ended count, too: else each of exports that come one at a time
    # would have the turn of now, and what nobody waits for would never be begun.
    own = with_turn().filter(tenant=tenant_id, priority__lte=priority, turn__gte=now)
    last = own.order_by("-turn").values_list("turn", flat=True).first()
    return max(now + priority, 0 if last is None else last + 1)


def _now() -> int:
    """Return the turn that is being done: the last that was begun.

    Or the first that waits, where that is later: the rows of what was begun may have
    gone with their tenant. What was put back has a turn of before, perhaps, and brings
    that back for nobody.
    """
    begun = with_turn().filter(started_at__isnull=False).order_by("-turn")
    last = begun.values_list("turn", flat=True).first()
    new = not_ended().filter(
        state=Job.State.WAITING, started_at=None, due_at__lte=timezone.now()
    )
    first = new.order_by("turn").values_list(F("turn") - F("priority"), flat=True)
    return max(last or 0, first.first() or 0)


def not_ended() -> QuerySet[Job]:
    """Return the jobs that wait or run, found by an index on SQLite, too.

    That takes no partial index whose condition has a value to compare with.
    """
    return Job.objects.filter(finished_at__isnull=True)


def with_turn() -> QuerySet[Job]:
    """Return the jobs that wait or run, and those that ended after they were begun."""
    return Job.objects.filter(turn__isnull=False)
