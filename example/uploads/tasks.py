"""What workers do for uploads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from jobs.kinds import Failed, Work, kind, periodic
from objects import storing
from tahoestorage.exceptions import TahoeStorageError
from uploads import deferring, direct, finishing, sweeping
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
    """Let an upload become an object, all of which is in the store."""
    rows = Upload.objects.select_related("version__object", "user")
    upload = rows.filter(version=work.arguments["version"]).first()
    if upload is None or upload.is_given_up:
        raise Failed(_("The upload was given up."))
    if upload.finished_at is None:
        try:
            _finish(upload, work)
        except (Lost, direct.NotThere):
            raise Failed(_("The store has lost what had come of it.")) from None
        except direct.WrongSize:
            raise Failed(_("Another number of bytes was uploaded.")) from None
        except storing.Deleted:
            raise Failed(_("The object was deleted meanwhile.")) from None
        except storing.Refused:
            raise Failed(_("Whoever uploaded it may not do so any more.")) from None
    version = upload.version
    return {"object": None if version is None else str(version.object_id)}


def _finish(upload: Upload, work: Work) -> None:
    if upload.kind == Upload.Kind.DIRECT:
        direct.verify(upload, work.progress)
        return
    lease = acquire(upload)
    with finishing.returned(lease):
        finishing.finish(lease, work.progress)


@periodic("uploads.sweep", every=timedelta(minutes=15))
def sweep(work: Work) -> dict[str, int]:
    """End what nobody goes on with, as `manage.py uploads_sweep` does.

    What takes long becomes a job of its own.
    """
    return dict(sweeping.sweep_all(by_jobs=True, on_each=work.check))
