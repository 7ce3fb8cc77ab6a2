"""Which files in a store are thumbnails: `storage_orphans` asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from pages.models import Thumbnail
from tahoestorage.filenames import names_files


@names_files(required=False)
def thumbnails(alias: str) -> Iterator[str]:
    """Yield the names of thumbnails; one that is lost is made anew."""
    rows = Thumbnail.objects.filter(store=alias).exclude(key="")
    return rows.values_list("key", flat=True).iterator()
