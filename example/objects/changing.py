"""Changes of an object that touch no bytes: names, deletion and undoing it, versions.

Each is one transaction that locks the object's row and looks at its conditions then.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import Tenant, User
from audit.actions import Action
from audit.recording import record, record_all
from config import locks
from objects import finding
from objects.conditions import NONE, Conditions, object_etag
from objects.models import StoredObject, Version


class ObjectNameTaken(Exception):
    """Another object of the tenant has the name."""


class PathTaken(ObjectNameTaken):
    """A file has the path of one of the folders, or a folder has the file's."""


class ObjectGone(Exception):
    """The object, or the version, is not there any more."""


def rename(
    pk: uuid.UUID | str,
    *,
    actor: User,
    folder: str | None = None,
    name: str | None = None,
    conditions: Conditions = NONE,
) -> StoredObject:
    """Give the object another name or folder, clean ones; None leaves it.

    Raises ObjectNameTaken, PathTaken, ObjectGone and Unmet.
    """
    with transaction.atomic():
        found = locked(pk)
        conditions.check(object_etag(found))
        before = found.folder, found.name
        found.folder = found.folder if folder is None else folder
        found.name = found.name if name is None else name
        if (found.folder, found.name) != before:
            lock_paths(found.tenant_id)
            check_path(found)
        found.save()
        if found.name != before[1]:
            _note(Action.OBJECT_RENAME, found, actor, before=before[1])
        if found.folder != before[0]:
            _note(Action.OBJECT_MOVE, found, actor, before=before[0])
    return found


def delete(
    pk: uuid.UUID | str, *, actor: User, conditions: Conditions = NONE
) -> StoredObject:
    """Put the object among the deleted ones; its bytes stay, and count.

    Raises ObjectGone and Unmet.
    """
    with transaction.atomic():
        found = locked(pk)
        conditions.check(object_etag(found))
        found.deleted_at = timezone.now()
        found.save()
        _note(Action.OBJECT_DELETE, found, actor)
    return found


def delete_all(pks: Iterable[uuid.UUID], *, actor: User) -> None:
    """Put the objects among the deleted ones; those that are there already stay there.

    However many, by few queries. To be called within the transaction of what they
    belonged to.
    """
    found, now = lock_all(pks), timezone.now()
    locked_now = StoredObject.objects.filter(pk__in=[one.pk for one in found])
    locked_now.update(deleted_at=now, updated_at=now)
    record_all(Action.OBJECT_DELETE, found, actor=actor)


def lock_all(pks: Iterable[uuid.UUID]) -> list[StoredObject]:
    """Lock the objects in this transaction, and return those that are not deleted.

    For whoever changes them later in it, and locks by then what comes after objects.
    """
    rows = StoredObject.objects.filter(pk__in=list(pks)).order_by("pk")
    return [one for one in locks.locked(rows) if one.deleted_at is None]


def undelete(
    pk: uuid.UUID | str, *, actor: User, conditions: Conditions = NONE
) -> StoredObject:
    """Undo a deletion. Raises ObjectNameTaken, PathTaken, ObjectGone and Unmet.

    It is absent from when a purge has begun to delete its bytes.
    """
    with transaction.atomic():
        found = locked(pk, deleted=True)
        if _is_going(found):
            raise ObjectGone
        conditions.check(object_etag(found))
        found.deleted_at = None
        lock_paths(found.tenant_id)
        check_path(found)
        found.save()
        _note(Action.OBJECT_UNDELETE, found, actor)
    return found


def restore(
    version: Version, *, actor: User, conditions: Conditions = NONE
) -> StoredObject:
    """Make an old version the newest: it gets the next number, and no byte is copied.

    Raises ObjectGone and Unmet.
    """
    with transaction.atomic():
        found = locked(version.object_id)
        conditions.check(object_etag(found))
        there = found.versions.filter(pk=version.pk, state=Version.State.STORED)
        if not there.exists():
            raise ObjectGone
        if found.current_id == version.pk:
            return found
        last = found.versions.aggregate(last=Max("number"))["last"]
        there.update(number=last + 1)
        found.take(there.get())
        found.save()
        _note(Action.OBJECT_RESTORE, found, actor, before=version.number, now=last + 1)
    return found


def lock_paths(tenant_id: int) -> None:
    """Let nobody else take a path of the tenant's until the transaction ends.

    To be called before an object gets one, and after its own row was locked.
    """
    locks.locked(Tenant.objects.filter(pk=tenant_id)).get()


def check_path(found: StoredObject) -> None:
    """Raise ObjectNameTaken where another object has its path; PathTaken where a file
    is a folder of the object's, or it would be one.

    To be called in the transaction that gives it the path, before that, with the tenant
    locked: nobody waits then for the index of paths, while whoever has the other object
    waits for the tenant.
    """
    there = finding.in_the_way(found)
    if there is not None:
        same = (there.folder, there.name) == (found.folder, found.name)
        raise ObjectNameTaken if same else PathTaken


def locked(pk: uuid.UUID | str, *, deleted: bool = False) -> StoredObject:
    """Return the object, locked in this transaction; raises ObjectGone."""
    rows = StoredObject.objects.filter(pk=pk, deleted_at__isnull=not deleted)
    found = locks.locked(rows).first()
    if found is None:
        raise ObjectGone
    return found


def _is_going(found: StoredObject) -> bool:
    """Whether a purge has marked the object's content, or has deleted it already."""
    if found.current is not None:
        return found.current.state != Version.State.STORED
    return found.versions.filter(state=Version.State.GOING).exists()


def _note(
    action: Action, found: StoredObject, actor: User, **details: str | int
) -> None:
    record(action, found, tenant_id=found.tenant_id, actor=actor, **details)
