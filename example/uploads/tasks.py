"""What workers do for uploads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from jobs.kinds import Failed, Work, kind, periodic
from objects import storing
from objects.incoming import Truncated
from tahoestorage.exceptions import TahoeStorageError
from uploads import deferring, direct, finishing, purposes, sweeping
from uploads.assembly import Lost
from uploads.leases import Busy, acquire
from uploads.models import Upload

PATIENCE = timedelta(hours=2)
"""All of it is there: so long an outage of the store makes no job fail."""


@kind(
    deferring.KIND,
    retry_on=(OSError, TahoeStorageError, storing.NotStored, Busy),
    patience=PATIENCE,
    ended=deferring.ended,
)
def finish(work: Work) -> dict[str, Any]:
    """Let an upload become an object; one that expired with too few bytes is given up.

    In its result there is no object then.
    """
    rows = Upload.objects.select_related("version__object", "user")
    upload = rows.filter(version=work.arguments["version"]).first()
    if upload is None or upload.is_given_up:
        raise Failed(_("The upload was given up."))
    if upload.finished_at is None:
        try:
            if not _finish(upload, work):
                return {"object": None}
        except (Lost, direct.NotThere):
            raise Failed(_("The store has lost what had come of it.")) from None
        except direct.WrongSize:
            raise Failed(_("Another number of bytes was uploaded.")) from None
        except storing.Deleted:
            raise Failed(_("The object was deleted meanwhile.")) from None
        except purposes.Unfit as error:
            raise Failed(str(error)) from None
        except storing.Refused:
            raise Failed(_("Whoever uploaded it may not do so any more.")) from None
    version = upload.version
    return {"object": None if version is None else str(version.object_id)}


def _finish(upload: Upload, work: Work) -> bool:
    """Finish it; False where it was given up, for not all of it had come."""
    if upload.kind == Upload.Kind.DIRECT:
        direct.verify(upload, work.progress)
        return True
    # Before anything is given up, or made anew in another place.
    if finishing.settle_whole(upload):
        return True
    upload.refresh_from_db()
    if not upload.is_complete:
        finishing.give_up(upload)
        return False
    lease = acquire(upload)
    try:
        with finishing.returned(lease):
            finishing.finish(lease, work.progress)
    except (FileNotFoundError, Truncated):
        if not upload.is_expired:
            raise
        # A part is lost: no later try finds it.
        finishing.cancel(upload)
        raise Lost from None
    return True


@periodic("uploads.sweep", every=timedelta(minutes=15))
def sweep(work: Work) -> dict[str, int]:
    """End what nobody goes on with, as `manage.py uploads_sweep` does.

    What takes long becomes a job of its own.
    """
    return dict(sweeping.sweep_all(by_jobs=True, on_each=work.check))
