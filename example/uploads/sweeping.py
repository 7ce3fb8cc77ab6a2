"""Uploads that nobody goes on with are ended, beside all others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from jobs import running
from objects import storing
from objects.incoming import Truncated
from objects.models import Version
from uploads import deferring, direct, finishing
from uploads.assembly import Lost
from uploads.leases import Busy
from uploads.models import Upload

logger = logging.getLogger(__name__)


def sweep_all(
    *, by_jobs: bool = False, on_each: Callable[[], None] = lambda: None
) -> Counter[str]:
    """Do what is to be done for all, and count what that was, by `sweep`'s words.

    Also ``busy`` and ``failed``. What ``on_each`` raises ends it.
    """
    done: Counter[str] = Counter()
    rows = candidates().select_related("version__object__tenant", "user", "job")
    # No query is open while a store is waited for: on SQLite nobody else writes then.
    for pk in list(candidates().values_list("pk", flat=True)):
        on_each()
        upload = rows.filter(pk=pk).first()
        if upload is None:
            continue  # Somebody else ended it meanwhile.
        try:
            done[sweep(upload, by_jobs=by_jobs)] += 1
        except Busy:
            done["busy"] += 1
        except (storing.Deleted, storing.Refused):
            done["given up"] += 1
        except Exception as error:  # One that fails stops no other.
            # The upload's own id is as good as a token.
            logger.error("Upload of version %s: %s", upload.version_id, error)
            done["failed"] += 1
    return done


def candidates() -> QuerySet[Upload]:
    """Return the uploads that there is something to do for, perhaps."""
    return Upload.objects.filter(
        Q(expires_at__lte=timezone.now())
        | Q(version=None)
        | Q(version__state=Version.State.GIVEN_UP)
        | Q(finished_at=None, kind=Upload.Kind.DIRECT)
        | Q(finished_at=None, offset=F("size"))
        | Q(finished_at__isnull=False, parts__isnull=False)
        | Q(finished_at__isnull=False) & ~Q(assembly="")
    ).distinct()


def sweep(upload: Upload, *, by_jobs: bool = False) -> str:
    """Do what is to be done for an upload, and say in a word what that was.

    Jobs are left to the workers, and started for what takes long, where there are
    workers (``by_jobs``); else they are done here. Raises Busy, what
    `finishing.settle` raises, and what the store raises.
    """
    if upload.is_leased:
        raise Busy
    if upload.finished_at is not None:
        finishing.drop_parts(upload)
        if upload.is_expired:
            finishing.remove(upload)
        return "removed"
    if upload.is_given_up:
        if upload.kind == Upload.Kind.DIRECT and not upload.is_expired:
            return "waiting"
    elif upload.version is not None and deferring.is_under_way(upload):
        return "waiting" if by_jobs else _do_job(upload)
    elif upload.version is not None and upload.kind == Upload.Kind.DIRECT:
        try:
            if by_jobs and not deferring.is_quick(upload):
                direct.check(upload)
                deferring.start(upload)
                return "waiting"
            direct.verify(upload)
        except direct.NotThere:
            upload.refresh_from_db()
            if not upload.is_expired:
                return "waiting"
        except direct.WrongSize:
            return "given up"
        else:
            return "finished"
    elif upload.is_expired or upload.is_complete:
        return _end(upload, by_jobs=by_jobs)
    finishing.give_up(upload)
    return "given up"


def _end(upload: Upload, *, by_jobs: bool) -> str:
    """Finish one in parts, if all of it has come; else give it up; or have it done."""
    if by_jobs and upload.size > settings.UPLOAD_PART_BYTES:
        # It may have to be read, or copied: no other waits for that.
        deferring.start(upload)
        return "waiting"
    # Before anything is given up, or made anew in another place.
    if finishing.settle_whole(upload):
        return "finished"
    upload.refresh_from_db()
    if not upload.is_complete or upload.version is None:
        finishing.give_up(upload)
        return "given up"
    try:
        finishing.finish_if_complete(upload)
    except (FileNotFoundError, Truncated):
        if not upload.is_expired:
            raise
        # A part is lost: no later try finds it.
        finishing.cancel(upload)
        return "given up"
    except Lost:
        return "given up"
    return "finished"


def _do_job(upload: Upload) -> str:
    """Do the job that is to finish it, if nobody does; raises Busy else."""
    work = running.claim(upload.job_id)
    if work is None:
        raise Busy
    running.run(work)
    found = Upload.objects.filter(pk=upload.pk).select_related("version").first()
    if found is None or found.is_given_up:
        return "given up"
    return "failed" if found.finished_at is None else "finished"
