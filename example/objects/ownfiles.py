"""Which files in a store are versions': `storage_orphans` asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from objects import quarantine
from objects.models import Copy, Version
from tahoestorage.filenames import names_files


@names_files()
def versions(alias: str) -> Iterator[str]:
    """Yield the names of what must be there."""
    rows = Version.objects.filter(store=alias, state=Version.State.STORED)
    return rows.order_by().values_list("key", flat=True).iterator()


@names_files(required=False)
def versions_on_their_way(alias: str) -> Iterator[str]:
    """Yield the names of what is coming or going, of copies, and of the quarantine."""
    rows = Version.objects.filter(store=alias).exclude(state=Version.State.STORED)
    yield from rows.order_by().values_list("key", flat=True).iterator()
    copies = Copy.objects.filter(store=alias)
    yield from copies.values_list("key", flat=True).iterator()
    yield f"{quarantine.PREFIX}/"
