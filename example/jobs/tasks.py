"""What jobs do for themselves."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from config import locks
from jobs.kinds import Work, periodic
from jobs.models import Job


@periodic("jobs.delete_old", every=timedelta(hours=1))
def delete_old(work: Work) -> dict[str, int]:
    """Delete the rows of jobs that ended ``JOBS_KEEP_DAYS`` ago."""
    before = timezone.now() - timedelta(days=settings.JOBS_KEEP_DAYS)
    old = Job.objects.filter(finished_at__lt=before)
    deleted = 0
    while few := list(old.values_list("pk", flat=True)[:500]):
        with transaction.atomic():
            # Before what refers to them; and one may be tried again just now.
            going = locks.locked_to_delete(old.filter(pk__in=few).order_by("pk"))
            pks = [job.pk for job in going]
            Job.objects.filter(pk__in=pks).delete()
        deleted += len(pks)
        work.progress(deleted)
    return {"deleted": deleted}
