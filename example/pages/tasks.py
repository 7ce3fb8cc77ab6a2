"""What workers do for the pages."""

from __future__ import annotations

from datetime import timedelta

from jobs.kinds import Priority, Work, kind, periodic
from pages import thumbnails
from tahoestorage.exceptions import TahoeStorageError


@kind(
    thumbnails.KIND,
    retry_on=(OSError, TahoeStorageError),
    priority=Priority.BACKGROUND,
)
def make_thumbnail(work: Work) -> dict[str, bool]:
    """Make the thumbnail of a version."""
    return {"made": thumbnails.make(work.arguments["version"])}


@periodic("pages.delete_thumbnails", every=timedelta(hours=1))
def delete_thumbnails(work: Work) -> dict[str, int]:
    """Delete the thumbnails of versions that are gone."""
    return {"deleted": thumbnails.delete_left(on_each=work.check)}
