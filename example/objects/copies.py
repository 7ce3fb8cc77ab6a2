"""Bytes of a version elsewhere than its row says: they must not outlive the version.

Each is written down before it is, or in the transaction that makes it one. So what was
purged or erased does not come back from a store that it was moved out of.
"""

from __future__ import annotations

from datetime import datetime

from django.core.files.storage import storages

from accounts import stores
from objects.models import Copy, Version
from objects.reading import fresh


def delete_of(version: Version) -> None:
    """Delete the bytes of all the version's copies; raises what a store raises.

    Their rows stay until the sweep: a move may be writing to one still. Stores that the
    site has no more are left out.
    """
    copies = Copy.objects.filter(version_id=version.pk, store__in=stores.aliases())
    for copy in copies:
        storages[copy.store].delete(copy.key)


def drop_old(store: str, before: datetime) -> None:
    """Delete the rows, older than that, of copies whose bytes are not in the store."""
    for copy in Copy.objects.filter(store=store, noted_at__lt=before):
        with fresh(storages[store], copy.key):
            is_there = storages[store].exists(copy.key)
        if not is_there:
            copy.delete()
