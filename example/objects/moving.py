"""A tenant's bytes go to another store, while the tenant is used.

A version is copied, the copy is checked, and then one conditional UPDATE lets the row
name the other store. Whoever is killed anywhere leaves a row that names whole bytes.
The old ones stay for those who are reading them: the sweep deletes them a day later,
and so it does with copies that no row has come to name.

Of two who move a tenant to different stores the last who began goes on: a row comes to
name a store only while that is the tenant's.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.core.files.storage import storages
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Tenant
from accounts.stores import check_alias
from audit.actions import Action
from audit.recording import record
from config import locks
from objects.incoming import IncomingFile
from objects.keys import moved_key
from objects.models import Copy, Version

logger = logging.getLogger(__name__)
BATCH = 500


class ChosenElse(Exception):
    """The tenant has another store by now: somebody moves it there, or has set it."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"The tenant's store is {alias} by now.")


def choose(tenant: Tenant, alias: str) -> None:
    """Let what is uploaded from now on go to that store.

    Raises ValidationError where no store of objects has the alias.
    """
    check_alias(alias)
    with transaction.atomic():
        if Tenant.objects.filter(pk=tenant.pk).exclude(store=alias).update(store=alias):
            record(
                Action.TENANT_MOVE,
                tenant,
                tenant_id=tenant.pk,
                actor=None,
                store=alias,
            )


def elsewhere(tenant: Tenant, alias: str) -> Any:
    """Return the tenant's stored versions that are in other stores than that one."""
    versions = Version.objects.filter(object__tenant=tenant.pk).exclude(store=alias)
    return versions.filter(state=Version.State.STORED)


def move(tenant: Tenant, alias: str, jobs: int = 1) -> Iterator[Counter[str]]:
    """Move all of them, and yield what was done, a batch at a time.

    The counts are of ``moved``, ``gone`` (deleted, or moved by another, meanwhile) and
    ``failed``. What comes into another store meanwhile, from a request that was under
    way, is moved as well. Raises ChosenElse where the store is not the tenant's, or not
    any more.
    """
    moved = True
    while moved:
        moved = False
        for done in _move_once(tenant, alias, jobs):
            moved = moved or done["moved"] > 0
            yield done


def _move_once(tenant: Tenant, alias: str, jobs: int) -> Iterator[Counter[str]]:
    batch = elsewhere(tenant, alias).select_related("object").order_by("pk")
    while True:
        # At the end, too: of what was left is not said that it was moved.
        _check_chosen(tenant, alias)
        if not (versions := list(batch[:BATCH])):
            return
        if jobs == 1:
            yield Counter(move_version(one, alias) for one in versions)
        else:
            with ThreadPoolExecutor(jobs) as threads:
                yield Counter(threads.map(partial(_in_a_thread, alias), versions))
        batch = batch.filter(pk__gt=versions[-1].pk)


def _check_chosen(tenant: Tenant, alias: str) -> None:
    chosen = Tenant.objects.filter(pk=tenant.pk).values_list("store", flat=True).first()
    if chosen not in (alias, None):
        raise ChosenElse(chosen)


def _in_a_thread(alias: str, version: Version) -> str:
    try:
        return move_version(version, alias)
    finally:
        connection.close()


def move_version(version: Version, alias: str) -> str:
    """Move one version; return ``moved``, ``gone`` or ``failed``."""
    target: Any = storages[alias]
    key = moved_key(version)
    # First: killed from here on, the sweep knows whose bytes these are.
    Copy.objects.create(version_id=version.pk, store=alias, key=key)
    try:
        _copy(version, target, key)
    except Exception:
        if not Version.objects.filter(pk=version.pk, store=version.store).exists():
            return "gone"
        logger.exception("A version was not moved to the store %s", alias)
        return "failed"
    if not _point_while_chosen(version, alias, key):
        # Deleted meanwhile, or moved by somebody else.
        with contextlib.suppress(Exception):
            target.delete(key)
        return "gone"
    return "moved"


def _point_while_chosen(version: Version, alias: str, key: str) -> bool:
    """As `point`, and returns False where the tenant's store is another by now."""
    with transaction.atomic():
        is_done = point(version, alias, key)
        # Whoever chooses another store waits, and moves this too.
        tenants = Tenant.objects.filter(pk=version.object.tenant_id, store=alias)
        if not locks.locked(tenants):
            transaction.set_rollback(True)
            return False
    return is_done


def point(version: Version, alias: str, key: str) -> bool:
    """Let the row name these bytes, and note the ones it named before as a copy.

    Returns False where it names others by now, or is not stored any more.
    """
    with transaction.atomic():
        row = Version.objects.filter(pk=version.pk, state=Version.State.STORED)
        if not row.filter(store=version.store, key=version.key).update(
            store=alias, key=key, moved_at=timezone.now(), missing_since=None
        ):
            return False
        Copy.objects.filter(store=alias, key=key).delete()
        Copy.objects.create(version_id=version.pk, store=version.store, key=version.key)
    return True


def _copy(version: Version, target: Any, key: str) -> None:
    """Copy the bytes; raises OSError where the store does not hold just these."""
    with version.storage.open(version.key) as source:
        content = IncomingFile(source, version.size or 0)
        # Read back whole, whatever its size: the only other bytes are deleted later.
        digest = content.digest_for(target)
        with digest.sending():
            if hasattr(target, "create"):
                stored = target.create(key, content, unique=True)
            else:
                stored = target.save(key, content)
    if stored == key and digest.sha256 == version.sha256 and digest.is_stored(stored):
        return
    with contextlib.suppress(Exception):
        target.delete(stored)
    raise OSError("The copy is not what the row says.")
