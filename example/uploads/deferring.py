"""What takes long at the end of an upload is left to a job: making one file of many
parts, and hashing what went past the site.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import control, starting
from jobs.models import Job
from objects.models import Version
from uploads import assembly, composing
from uploads.leases import Busy
from uploads.models import Upload

KIND = "uploads.finish"
PAUSE = timedelta(minutes=5)
"""After a job has failed, for so long none is started: whoever asks may ask often."""


def is_quick(upload: Upload) -> bool:
    """Whether the end of an upload, all of which is there, may be awaited in a request.

    So it is where nothing has to be read, or not more than one part.
    """
    if upload.size <= settings.UPLOAD_PART_BYTES:
        return True
    if upload.kind == Upload.Kind.DIRECT or upload.version is None:
        return False
    if upload.assembly:
        return assembly.known_sha256(upload) is not None
    return composing.known_hash(upload, upload.version) is not None


def is_under_way(upload: Upload) -> bool:
    """Whether a job is going to finish it."""
    return upload.job is not None and not upload.job.is_ended


def is_kept(job: Job) -> bool:
    """Whether all of an upload is there yet whose job has failed.

    The sweep, or whoever asks for the upload, starts another job for it then.
    """
    if job.state != Job.State.FAILED:
        return False
    pending = Version.objects.filter(state=Version.State.PENDING)
    found = pending.filter(pk=job.arguments["version"])
    return Upload.objects.filter(version__in=found, finished_at=None).exists()


def start(upload: Upload) -> None:
    """Start the job that finishes an upload, unless one is under way, or failed lately.

    Raises Busy where it was finished or given up, or somebody else started one.
    """
    version = upload.version
    if version is None:
        raise Busy
    if is_under_way(upload):
        return
    last = upload.job
    if last is not None and last.state == Job.State.FAILED:
        ended_at = last.finished_at
        if ended_at is not None and timezone.now() < ended_at + PAUSE:
            return
    with transaction.atomic():
        job = starting.start(
            KIND,
            owner=upload.user,
            tenant=version.object.tenant,
            # The upload's own id is as good as a token.
            arguments={"version": str(version.pk)},
        )
        found = Upload.objects.filter(pk=upload.pk, finished_at=None, job=last)
        if not found.update(job=job):
            raise Busy
    upload.job = job


def cancel(upload: Upload) -> None:
    """Have the job end that is to finish an upload: at once, or soon where it runs."""
    job = upload.job
    if job is not None and is_under_way(upload) and not job.cancel_requested:
        control.cancel(job, actor=upload.user)


def ended(job: Job) -> None:
    """Let nobody finish an upload whose job was cancelled: the sweep removes the rest.

    Within the transaction that ends the job.
    """
    if job.state == Job.State.CANCELLED:
        pending = Version.objects.filter(state=Version.State.PENDING)
        pending.filter(pk=job.arguments["version"]).update(state=Version.State.GIVEN_UP)
