"""Which files in a store are exports: `storage_orphans` asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from exports.models import Export
from tahoestorage.filenames import names_files


@names_files()
def exports(alias: str) -> Iterator[str]:
    """Yield the names of what can be downloaded."""
    ready = Export.objects.filter(store=alias, state=Export.State.READY).order_by()
    for export in ready.iterator():
        yield export.key


@names_files(required=False)
def attempts(alias: str) -> Iterator[str]:
    """Yield the names that attempts may have written: a tidying deletes the others'."""
    for export in Export.objects.filter(store=alias).order_by().iterator():
        for attempt in range(1, export.attempts + 1):
            yield export.key_of(attempt)
