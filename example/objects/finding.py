"""Objects as others look for them: by their path, by its start, or to be locked."""

from __future__ import annotations

import uuid
from functools import cache, partial

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import Tenant
from accounts.prepared import Parameter, Prepared
from config import locks
from objects.models import StoredObject

LAST = "\U0010ffff"
"""No letter: it comes after whatever a folder may go on with."""
MOST_WORDS = 20
"""Words of a search: a condition each, and databases bound how many there are."""


def starts_with(start: str) -> Q:
    """Return the condition for objects whose folder starts so; "" is true of all.

    Capitals differ from small letters, on every database, and an index serves it.
    """
    if not start:
        return Q()
    if connection.vendor == "postgresql":
        return Q(folder__startswith=start)
    # SQLite's LIKE takes small letters for capitals, and uses no index.
    return Q(folder__gte=start, folder__lt=start + LAST)


def below(folder: str) -> Q:
    """Return the condition for objects in a folder or below it; "" is the top."""
    return Q(folder=folder) | starts_with(f"{folder}/") if folder else Q()


def _of_path() -> QuerySet[StoredObject]:
    return StoredObject.objects.filter(
        tenant=Parameter("tenant", Tenant),
        folder=Parameter("folder", StoredObject, "folder"),
        name=Parameter("name", StoredObject, "name"),
        deleted_at=None,
    ).order_by()


def _of_key() -> QuerySet[StoredObject]:
    found = StoredObject.objects.filter(pk=Parameter("pk", StoredObject))
    return found.order_by()


def _in_the_way(depth: int) -> QuerySet[StoredObject]:
    """Return files, but for one, that have a path so deep, are folders of it, or have
    it for a folder.
    """
    folder = partial(Parameter, model=StoredObject, field="folder")
    if connection.vendor == "postgresql":
        below = Q(folder__startswith=folder("below"))
    else:  # As in `starts_with`.
        below = Q(folder__gte=folder("below"), folder__lt=folder("beyond"))
    files = Q(folder=folder("path")) | below
    files |= Q(folder=folder("folder"), name=Parameter("name", StoredObject, "name"))
    for number in range(depth):
        files |= Q(
            folder=folder(f"folder{number}"),
            name=Parameter(f"name{number}", StoredObject, "name"),
        )
    there = StoredObject.objects.filter(
        files, tenant=Parameter("tenant", Tenant), deleted_at=None
    )
    there = there.exclude(pk=Parameter("pk", StoredObject))
    return there.order_by()[:1]


@cache
def _in_the_way_at(depth: int) -> Prepared[StoredObject]:
    # How the path begins decides by which part of an index it is found.
    return Prepared(partial(_in_the_way, depth), of_any_value=False)


_OF_PATH = Prepared(_of_path)
_OF_PATH_LOCKED = Prepared(lambda: locks.locked(_of_path()))
_OF_KEY_LOCKED = Prepared(lambda: locks.locked(_of_key()))
_OF_KEY_GOING = Prepared(lambda: locks.locked_to_delete(_of_key()))


def of_path(
    tenant_id: int, folder: str, name: str, *, lock: bool = False
) -> StoredObject | None:
    """Return the tenant's object of that path, deleted ones left out.

    With ``lock`` its row is locked in this transaction.
    """
    prepared = _OF_PATH_LOCKED if lock else _OF_PATH
    return prepared.first(tenant=tenant_id, folder=folder, name=name)


def in_the_way(found: StoredObject) -> StoredObject | None:
    """Return another object of its path; or one that is a folder of it, or has it for
    a folder.
    """
    folder, name = found.folder, found.name
    parts = folder.split("/") if folder else []
    path = "/".join((*parts, name))
    # 0 comes next to the slash.
    values = {"path": path, "below": f"{path}/", "beyond": f"{path}0"}
    values |= {"folder": folder, "name": name}
    for number, part in enumerate(parts):
        values[f"folder{number}"] = "/".join(parts[:number])
        values[f"name{number}"] = part
    prepared = _in_the_way_at(len(parts))
    return prepared.first(tenant=found.tenant_id, pk=found.pk, **values)


def locked(pk: uuid.UUID, *, to_delete: bool = False) -> StoredObject | None:
    """Return the object of the key, a deleted one too, locked in this transaction.

    With ``to_delete`` its row may be deleted then.
    """
    prepared = _OF_KEY_GOING if to_delete else _OF_KEY_LOCKED
    return prepared.first(pk=pk)
