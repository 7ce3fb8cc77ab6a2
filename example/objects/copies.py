"""Bytes of a version elsewhere than its row says: they must not outlive the version.

Each is written down before it is, or in the transaction that makes it one. So what was
purged or erased does not come back from a store that it was moved out of, and what was
given up does not by a URL that is good still, or from a process that is slow.
"""

from __future__ import annotations

from datetime import datetime

from django.apps import apps
from django.core.files.storage import storages
from django.utils import timezone

from accounts import stores
from objects.models import Copy, Version
from objects.reading import fresh


def note(version: Version, key: str, until: datetime | None = None) -> None:
    """Write down that bytes may come to a key that no row will name any more.

    It counts as young for as long as they may: ``until`` then, or from now on.
    """
    copy = Copy(version_id=version.pk, store=version.store, key=key)
    Copy.objects.bulk_create([copy], ignore_conflicts=True)
    if until is not None:
        Copy.objects.filter(store=version.store, key=key).update(noted_at=until)


def url_ends(version: Version) -> datetime | None:
    """Return when the URL ends by which the version is uploaded directly, if it does
    later than now.
    """
    if not apps.is_installed("uploads"):
        return None
    uploads = apps.get_model("uploads", "Upload").objects.filter(
        version=version.pk, kind="direct", expires_at__gt=timezone.now()
    )
    found: datetime | None = uploads.values_list("expires_at", flat=True).first()
    return found


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
