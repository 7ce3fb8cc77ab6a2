"""What a tenant may use: reserved at the start, settled at the end, or given back.

What is counted belongs to rows, and is changed in the transaction that changes the row:

- a pending version holds its announced size as reserved, a stored one as used;
- an object holds its place as reserved until its first version is stored, as used from
  then on. A further version takes bytes, and no place. What is deleted and can be
  undone still counts.

So what a killed process held is given back with the row that it left. Each change is
one UPDATE with its condition in it: the counts are right however many uploads there are
at once. They lock the tenant (``config/locks.py`` says when).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from accounts.prepared import Parameter, PreparedUpdate


class QuotaExceeded(Exception):
    """The tenant has no room for it."""


MOST_BYTES = 1 << 50
"""Of one file: the sums of a tenant's are to fit into a column."""
_TENANT = Parameter("tenant", Tenant)
_SIZE = Parameter("size", Tenant, "used_bytes")
_OBJECTS = Parameter("objects", Tenant, "used_objects")


def _room_for(size: Any) -> Q:
    """Return the condition that so many bytes, or a parameter's, have room."""
    taken = F("used_bytes") + F("reserved_bytes")
    return Q(max_bytes=None) | Q(max_bytes__gte=taken + size)


def _with_room(*, of_bytes: bool, of_objects: bool) -> QuerySet[Tenant]:
    """Return the tenant, if it has room for what is taken."""
    room = Q()
    if of_bytes:
        room &= _room_for(_SIZE)
    if of_objects:
        room &= Q(max_objects=None) | Q(
            max_objects__gte=F("used_objects") + F("reserved_objects") + _OBJECTS
        )
    return Tenant.objects.filter(room, pk=_TENANT)


_RESERVE = {
    (of_bytes, of_objects): PreparedUpdate(
        partial(_with_room, of_bytes=of_bytes, of_objects=of_objects),
        lambda: {
            "reserved_bytes": F("reserved_bytes") + _SIZE,
            "reserved_objects": F("reserved_objects") + _OBJECTS,
        },
    )
    for of_bytes in (False, True)
    for of_objects in (False, True)
}
_SETTLE = PreparedUpdate(
    lambda: Tenant.objects.filter(pk=_TENANT),
    lambda: {
        "reserved_bytes": F("reserved_bytes") - _SIZE,
        "reserved_objects": F("reserved_objects") - _OBJECTS,
        "used_bytes": F("used_bytes") + _SIZE,
        "used_objects": F("used_objects") + _OBJECTS,
    },
)


def check_room(tenant_id: int, size: int) -> None:
    """Raise QuotaExceeded where ``size`` more bytes have no room now.

    It sets nothing aside: it is for what need not even be read.
    """
    if not Tenant.objects.filter(_room_for(size), pk=tenant_id).exists():
        raise _no_room()


def reserve(tenant_id: int, *, size: int, objects: int) -> None:
    """Set ``size`` bytes and that many objects aside; raises QuotaExceeded.

    Where a limit was lowered below what is used, only what takes nothing more of it
    goes on.
    """
    update = _RESERVE[bool(size), bool(objects)]
    if not update(tenant=tenant_id, size=size, objects=objects):
        raise _no_room()


def _no_room() -> QuotaExceeded:
    return QuotaExceeded(_("The tenant has no room for this object."))


def settle(tenant_id: int, *, size: int, objects: int) -> None:
    """Count as used what was reserved."""
    _SETTLE(tenant=tenant_id, size=size, objects=objects)


def give_back(tenant_id: int, *, size: int, objects: int) -> None:
    """Let go of what was reserved."""
    Tenant.objects.filter(pk=tenant_id).update(
        reserved_bytes=F("reserved_bytes") - size,
        reserved_objects=F("reserved_objects") - objects,
    )


def release(tenant_id: int, *, size: int, objects: int) -> None:
    """Count as used no longer what was deleted for good."""
    Tenant.objects.filter(pk=tenant_id).update(
        used_bytes=F("used_bytes") - size, used_objects=F("used_objects") - objects
    )


def count(tenant_id: int, *, size: int, objects: int) -> None:
    """Count as used what is there already, whatever the limits are."""
    Tenant.objects.filter(pk=tenant_id).update(
        used_bytes=F("used_bytes") + size, used_objects=F("used_objects") + objects
    )
