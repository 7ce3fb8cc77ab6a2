"""Bytes become a row again, by what their key says: after a restored database."""

from __future__ import annotations

import mimetypes
from datetime import datetime
from typing import Any

from django.core.files.storage import storages
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from accounts import quotas
from accounts.models import Tenant, User
from audit.actions import Action
from audit.recording import record
from objects import finding
from objects.changing import ObjectNameTaken, check_path, lock_paths
from objects.grants import grant_first
from objects.keys import KeyParts, read_key
from objects.models import StoredObject, Version
from objects.reading import hashed

FOLDER = "recovered"
"""Where objects are whose path is taken by now, or not known."""


def adopt(store: str, key: str) -> bool:
    """Make the row of the bytes at a key; return False where they don't say enough.

    They must be whole, and of a tenant that there is. The object is the one that the
    key names, or is made anew, by the path of then; one whose path is taken, or was too
    long for the key, is in the folder `recovered`. It belongs to the user who uploaded
    it, and what was granted on it is granted again by the tenant's defaults only.

    A deletion that is older than the bytes was undone before they came: it is undone
    again. Where the path is taken by now, the object counts as deleted just now.
    """
    said = read_key(key)
    if said is None or not Tenant.objects.filter(pk=said.tenant_id).exists():
        return False
    storage: Any = storages[store]
    size, sha256 = hashed(storage, key)
    # Before the transaction: what locks the object asks no store.
    modified = storage.get_modified_time(key)
    if timezone.is_naive(modified):
        modified = timezone.make_aware(modified)
    if size != said.size:
        return False  # An upload to a disk that was cut short.
    found = StoredObject.objects.filter(pk=said.object_id).first()
    if found is not None and found.tenant_id != said.tenant_id:
        return False
    places = [said.path] if said.path else []
    name = said.path.rpartition("/")[2] or said.object_id.hex
    places += [f"{FOLDER}/{name}", f"{FOLDER}/{said.version_id.hex}"]
    for attempt, path in enumerate(places):
        try:
            with transaction.atomic():
                _adopt(store, key, said, path, size, sha256, modified, not attempt)
        except (IntegrityError, ObjectNameTaken):
            # The path is taken; or another sweep has made the row.
            if Version.objects.filter(pk=said.version_id).exists():
                return True
        else:
            return True
    return False


def _adopt(
    store: str,
    key: str,
    said: KeyParts,
    path: str,
    size: int,
    sha256: str,
    modified: datetime,
    is_first: bool,
) -> None:
    # Some stores tell whole seconds only.
    second = modified.replace(microsecond=0)
    users = User.objects.filter(pk=said.user_id or 0, tenant=said.tenant_id)
    user = users.first()
    folder, _, name = path.rpartition("/")
    found = finding.locked(said.object_id)
    is_new = found is None
    if found is None:
        lock_paths(said.tenant_id)
        found = StoredObject(
            pk=said.object_id,
            tenant_id=said.tenant_id,
            folder=folder,
            name=name,
            owner=user,
        )
        check_path(found)
        found.save(force_insert=True)
        if user is not None:
            grant_first(found, user)
    elif (
        found.deleted_at is not None
        and found.deleted_at.replace(microsecond=0) <= second
    ):
        found.deleted_at = None if is_first else timezone.now()
        if is_first:
            lock_paths(found.tenant_id)
            check_path(found)
        found.save()
    last = found.versions.aggregate(last=Max("number"))["last"] or 0
    version = Version.objects.create(
        pk=said.version_id,
        object=found,
        number=last + 1,
        state=Version.State.STORED,
        size=size,
        sha256=sha256,
        content_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        store=store,
        key=key,
        created_by=user,
    )
    Version.objects.filter(pk=version.pk).update(created_at=modified)
    newest = found.current
    if newest is None or newest.created_at.replace(microsecond=0) <= second:
        found.take(version)
        found.save()
    record(
        Action.OBJECT_RECOVER,
        found,
        tenant_id=found.tenant_id,
        actor=None,
        version=version.number,
        size=size,
        sha256=sha256,
    )
    if newest is None and not is_new:
        # What is pending of it holds its place, and won't once there is a content.
        quotas.settle(found.tenant_id, size=0, objects=1)
    quotas.count(found.tenant_id, size=size, objects=int(is_new))
