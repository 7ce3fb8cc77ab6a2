"""Starts jobs and tells of them in a process beside workers: JSON lines in and out."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.utils import timezone

django.setup()

from accounts.models import Tenant  # noqa: E402
from jobs import control  # noqa: E402
from jobs.models import Job  # noqa: E402
from jobs.starting import start  # noqa: E402

FIELDS = ("state", "attempts", "result", "error", "done", "of")
SECOND = timedelta(seconds=1)
NEVER = datetime.min.replace(tzinfo=UTC)


def answer(asked: str, said: Any) -> Any:
    """Do what is asked for, and return what there is to tell."""
    if asked == "start":
        name = said.pop("tenant", None)
        tenant = name and Tenant.objects.get_or_create(name=name, slug=name)[0]
        kind = said.pop("kind", "tests.steps")
        return str(start(kind, tenant=tenant, arguments=said).pk)
    if asked == "cancel":
        return control.cancel(Job.objects.get(pk=said), actor=None)
    if asked == "count":
        return Job.objects.filter(kind=said).count()
    if asked == "exports":
        return {
            str(job.pk): {
                "state": job.state,
                "is_claimed": (job.lease_until or NEVER) > timezone.now(),
                "began": job.started_at and job.started_at.timestamp(),
                "ended": job.finished_at and job.finished_at.timestamp(),
            }
            for job in Job.objects.filter(kind="exports.export")
        }
    return {
        str(job.pk): {name: getattr(job, name) for name in FIELDS}
        | {"began_after": job.started_at and (job.started_at - job.created_at) / SECOND}
        for job in Job.objects.filter(kind="tests.steps")
    }


for line in sys.stdin:
    print(json.dumps(answer(*json.loads(line))), flush=True)
