"""The kinds of jobs of exports: making one, importing one, and what goes regularly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from exports import importing, removing, retention, running, starting, telling
from exports.models import Export
from jobs.kinds import Failed, Priority, Work, kind, periodic
from tahoestorage.exceptions import TahoeStorageError

STORE_ERRORS = (OSError, TahoeStorageError)


@kind(
    starting.KIND,
    retry_on=STORE_ERRORS,
    ended=removing.end,
    begun_again=starting.begin_again,
)
def export(work: Work) -> dict[str, Any]:
    """Make the archive of an export; its owner is told."""
    rows = Export.objects.select_related("owner__tenant", "tenant", "event")
    found = rows.filter(pk=work.arguments["export"]).first()
    if found is None:
        raise Failed(_("The export is gone."))
    made = running.make(found, work)
    telling.send_mail_of(made)
    return {"export": str(made.pk), "size": made.size, "files": made.files}


@kind(removing.KIND, retry_on=STORE_ERRORS, priority=Priority.BACKGROUND)
def remove(work: Work) -> None:
    """Delete the bytes of an export that somebody deleted."""
    for found in Export.objects.filter(pk=work.arguments["export"]):
        if not removing.finish(found):
            raise OSError("The store cannot delete it now.")


@kind(importing.KIND, retry_on=STORE_ERRORS, ended=importing.end)
def import_(work: Work) -> dict[str, Any]:
    """Make a new folder or event of an archive."""
    return importing.run(work)


@kind(importing.CLEAR, priority=Priority.BACKGROUND)
def clear(work: Work) -> dict[str, int]:
    """Delete what an import made that came to nothing."""
    return importing.clear(work)


@periodic("exports.tidy", every=timedelta(hours=1))
def tidy(work: Work) -> dict[str, Any]:
    """Delete old exports, and what killed workers left."""
    deleted = retention.delete_old(on_each=work.check)
    return {"deleted": deleted.exports, "tidied": deleted.tidied}
