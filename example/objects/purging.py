"""What is deleted for good: bytes first, and then the row that counts them.

A version that is to go is marked in its row. Whoever is killed, or finds the store
away, leaves the mark, and the next purge goes on: no bytes are left that nobody knows
of, and the quota is right at every moment.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import quotas
from accounts.models import Tenant
from audit.actions import Action
from audit.recording import record
from config import locks
from objects import copies, finding
from objects.models import StoredObject, Version

GRACE = timedelta(days=1)
"""So long the bytes of a version beyond its tenant's limit stay."""
BATCH = 500
"""Rows of versions that are in memory at once."""
logger = logging.getLogger(__name__)


@dataclass
class Purged:
    """What a purge did."""

    objects: int = 0
    versions: int = 0
    bytes: int = 0
    failed: int = 0
    """Versions that the store did not delete, and tenants that could not be looked at.

    The next purge tries again.
    """


def purge(now: datetime | None = None) -> Purged:
    """Delete what was deleted longer ago than its tenant can undo, and what was left.

    Versions beyond their tenant's limit go when they were so for the time of GRACE.
    Safe beside writers, and beside another purge.
    """
    now = now or timezone.now()
    failed = 0
    for tenant in Tenant.objects.all():
        try:
            _mark_old(tenant, now)
        except Exception:
            # The other tenants' objects go all the same.
            logger.exception("Tenant %s could not be purged", tenant.pk)
            failed += 1
    going = Version.objects.filter(state=Version.State.GOING).filter(
        Q(going_since=None) | Q(going_since__lte=now - GRACE)
    )
    purged = forget(going)
    purged.failed += failed
    return purged


def _mark_old(tenant: Tenant, now: datetime) -> None:
    before = now - tenant.undo_time
    old = StoredObject.objects.filter(tenant=tenant, deleted_at__lt=before)
    for pk in list(old.values_list("pk", flat=True)):
        _mark(pk, before)


def _mark(pk: uuid.UUID, before: datetime) -> None:
    with transaction.atomic():
        # Its deletion may have been undone by now.
        rows = StoredObject.objects.filter(pk=pk, deleted_at__lt=before)
        found = locks.locked(rows).first()
        # An upload under way holds the object's place in the quota; it ends, or is
        # given up.
        under_way = (Version.State.PENDING, Version.State.GIVEN_UP)
        if found and not found.versions.filter(state__in=under_way).exists():
            found.versions.update(state=Version.State.GOING, going_since=None)


def mark_surplus(found: StoredObject) -> None:
    """Mark the oldest versions beyond the tenant's limit, for a later purge.

    Their bytes stay meanwhile for a backup and for downloads that began before, and
    because this transaction may not be committed. The object is locked in it. Its
    newest version never goes.
    """
    stored = found.versions.filter(state=Version.State.STORED).order_by("-number")
    beyond = list(stored[max(found.tenant.max_versions, 1) :])
    beyond = [version for version in beyond if version.pk != found.current_id]
    found.versions.filter(pk__in=[one.pk for one in beyond]).update(
        state=Version.State.GOING, going_since=timezone.now()
    )


def forget(versions: QuerySet[Version]) -> Purged:
    """Delete the bytes and then the rows of versions that are marked, the oldest first.

    An object that is deleted goes with its last version.
    """
    purged = Purged()
    for version in _in_batches(versions):
        try:
            version.storage.delete(version.key)
            copies.delete_of(version)
        except Exception:
            logger.exception("A version was not deleted in the store %s", version.store)
            purged.failed += 1
            continue
        if (gone := _forget(version)) is not None:
            purged.versions += 1
            purged.bytes += version.size or 0
            purged.objects += gone
    return purged


def delete_row(found: StoredObject) -> None:
    """Delete an object's row, and write down whose it was: nothing else says so then.

    Its entries name it still, until whoever owned it is erased.
    """
    tenant, owner = found.tenant_id, found.owner_id
    record(Action.OBJECT_PURGE, found, tenant_id=tenant, actor=None, owner=owner)
    found.delete()


def _in_batches(versions: QuerySet[Version]) -> Iterator[Version]:
    """Yield them by their age, each once: those that could not go are left behind."""
    rows = versions.order_by("created_at", "pk")
    behind = Q()
    while batch := list(rows.filter(behind)[:BATCH]):
        yield from batch
        last = batch[-1]
        behind = Q(created_at__gte=last.created_at) & (
            Q(created_at__gt=last.created_at) | Q(pk__gt=last.pk)
        )


def _forget(version: Version) -> int | None:
    """Delete the row; return how many objects went with it, None if it was gone."""
    with transaction.atomic():
        found = finding.locked(version.object_id, to_delete=True)
        rows = Version.objects.filter(pk=version.pk, state=Version.State.GOING)
        ends = copies.url_ends(version)
        if found is None or not rows.delete()[0]:
            return None
        if ends is not None:
            copies.note(version, version.key, ends)
        gone = int(found.deleted_at is not None and not found.versions.exists())
        tenant = found.tenant_id
        if gone:
            delete_row(found)
        quotas.release(tenant, size=version.size or 0, objects=gone)
    return gone
