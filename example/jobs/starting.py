"""Starting a job: its row is written with what the request writes, or not at all."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Tenant, User
from jobs import kinds, sending
from jobs.models import Job
from jobs.turns import turn_for


def start(
    kind: str,
    *,
    owner: User | None = None,
    tenant: Tenant | None = None,
    arguments: dict[str, Any] | None = None,
) -> Job:
    """Write a job into the caller's transaction; it is begun when that has ended.

    The tenant is the owner's unless it is given. ``arguments`` are for JSON, and hold
    no secret. Raises LookupError where there is no such kind.
    """
    found = kinds.find(kind)
    if tenant is None and owner is not None:
        tenant = owner.tenant
    job = Job.objects.create(
        kind=found.name,
        owner=owner,
        tenant=tenant,
        turn=turn_for(None if tenant is None else tenant.pk, found.priority),
        priority=found.priority,
        arguments=arguments or {},
        sent_at=timezone.now(),
    )
    transaction.on_commit(lambda: sending.send(job.pk), robust=True)
    return job
