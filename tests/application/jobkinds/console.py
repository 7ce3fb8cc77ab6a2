"""Starts jobs and tells of them in a process beside workers: JSON lines in and out."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import django

django.setup()

from accounts.models import Tenant  # noqa: E402
from jobs import control  # noqa: E402
from jobs.models import Job  # noqa: E402
from jobs.starting import start  # noqa: E402

FIELDS = ("state", "attempts", "result", "error", "done", "of")
SECOND = timedelta(seconds=1)


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
    return {
        str(job.pk): {name: getattr(job, name) for name in FIELDS}
        | {"began_after": job.started_at and (job.started_at - job.created_at) / SECOND}
        for job in Job.objects.filter(kind="tests.steps")
    }


for line in sys.stdin:
    print(json.dumps(answer(*json.loads(line))), flush=True)
