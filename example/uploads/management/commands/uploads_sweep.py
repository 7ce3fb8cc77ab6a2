"""Ends what nobody goes on with; safe beside writers, and to be run every hour."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import F, Q
from django.utils import timezone

from objects import storing
from objects.incoming import Truncated
from uploads import direct, finishing
from uploads.assembly import Lost
from uploads.leases import Busy
from uploads.models import Upload

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Give up resumable and direct uploads that have expired, with their parts and "
        "what they hold of the quota; finish those of which all has come. Run it each "
        "hour; it is safe beside uploads. Exit status: 0 if all is done or waits, 1 if "
        "something failed, which the next run tries again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done: Counter[str] = Counter()
        for upload in candidates().select_related("version").iterator():
            try:
                done[sweep(upload)] += 1
            except Busy:
                done["busy"] += 1
            except (storing.Deleted, storing.Refused):
                done["given up"] += 1
            except Exception as error:  # One that fails stops no other.
                # The upload's own id is as good as a token.
                logger.error("Upload of version %s: %s", upload.version_id, error)
                done["failed"] += 1
        words = ("finished", "given up", "removed", "waiting", "busy", "failed")
        self.stdout.write(", ".join(f"{done[word]} {word}" for word in words) + ".")
        if done["failed"]:
            raise CommandError("Not all could be done: see above.", returncode=1)


def candidates() -> Any:
    """Return the uploads that there is something to do for, perhaps."""
    return Upload.objects.filter(
        Q(expires_at__lte=timezone.now())
        | Q(version=None)
        | Q(finished_at=None, kind=Upload.Kind.DIRECT)
        | Q(finished_at=None, offset=F("size"))
        | Q(finished_at__isnull=False, parts__isnull=False)
        | Q(finished_at__isnull=False) & ~Q(assembly="")
    ).distinct()


def sweep(upload: Upload) -> str:
    """Do what is to be done for an upload, and say in a word what that was."""
    if upload.is_leased:
        raise Busy
    if upload.finished_at is not None:
        finishing.drop_parts(upload)
        if upload.is_expired:
            finishing.remove(upload)
        return "removed"
    if upload.is_given_up and not upload.is_expired:
        return "waiting"
    if upload.is_given_up:
        pass
    elif upload.version is not None and upload.kind == Upload.Kind.DIRECT:
        try:
            direct.verify(upload)
        except direct.NotThere:
            upload.refresh_from_db()
            if not upload.is_expired:
                return "waiting"
        except direct.WrongSize:
            return "given up"
        else:
            return "finished"
    elif upload.is_expired or upload.offset == upload.size:
        # Before anything is given up, or made anew in another place.
        if finishing.settle_whole(upload):
            return "finished"
        upload.refresh_from_db()
        if upload.offset < upload.size or upload.version is None:
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
    finishing.give_up(upload)
    return "given up"
