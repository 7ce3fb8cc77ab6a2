"""Kinds that leave marks of what was done to them, in a folder that they are told."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from jobs import leases, sweeping
from jobs.kinds import Priority, Work, kind
from jobs.models import Job

settings: Any = django_settings
if settings.LEASE:
    leases.LEASE = settings.LEASE
    leases.RENEWED = settings.LEASE.total_seconds() / 4
    sweeping.EVERY = settings.LEASE.total_seconds()
    sweeping.RESENT = settings.LEASE


def note(folder: str, name: str, text: str) -> None:
    """Add a line to a file there, whole whoever else does."""
    with Path(folder, name).open("a") as file:
        file.write(text + "\n")


def note_end(job: Job) -> None:
    note(job.arguments["folder"], "ended", f"{job.pk} {job.state}")


@kind("tests.steps", ended=note_end)
def steps(work: Work) -> dict[str, Any]:
    """Take so many steps, each so long, once a file is there if one is named."""
    said = work.arguments
    note(said["folder"], "begun", f"{work.job.pk} {os.getpid()}")
    while "gate" in said and not Path(said["gate"]).exists():
        work.progress(0, said["steps"])
        time.sleep(0.01)
    sum_ = 0
    for step in range(said["steps"]):
        work.progress(step, said["steps"])
        time.sleep(said.get("seconds", 0))
        sum_ += step
    return {"sum": sum_}


@kind("tests.background", ended=note_end, priority=Priority.BACKGROUND)
def background(work: Work) -> dict[str, Any] | None:
    """Take steps that nobody waits for."""
    return steps(work)
