"""What a tenant may use: reserved at the start, settled at the end, or given back.

Each change is one UPDATE with its condition in it, so that the counts are right however
many uploads there are at once.
"""

from __future__ import annotations

from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant


class QuotaExceeded(Exception):
    """The tenant has no room for it."""


def reserve(tenant_id: int, *, size: int, objects: int) -> None:
    """Set ``size`` bytes and that many objects aside; raises QuotaExceeded."""
    room = (
        Q(max_bytes=None)
        | Q(max_bytes__gte=F("used_bytes") + F("reserved_bytes") + size)
    ) & (
        Q(max_objects=None)
        | Q(max_objects__gte=F("used_objects") + F("reserved_objects") + objects)
    )
    if not Tenant.objects.filter(room, pk=tenant_id).update(
        reserved_bytes=F("reserved_bytes") + size,
        reserved_objects=F("reserved_objects") + objects,
    ):
        raise QuotaExceeded(_("The tenant has no room for this object."))


def settle(tenant_id: int, *, size: int, objects: int) -> None:
    """Count as used what was reserved."""
    Tenant.objects.filter(pk=tenant_id).update(
        reserved_bytes=F("reserved_bytes") - size,
        reserved_objects=F("reserved_objects") - objects,
        used_bytes=F("used_bytes") + size,
        used_objects=F("used_objects") + objects,
    )


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
