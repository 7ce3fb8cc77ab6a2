"""Groups change, and somebody who is active administers each row all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import TenantGroup
from config import locks
from objects.granting import KINDS, Access, Granted, NobodyAdministers


def lock_groups(tenant_id: int) -> None:
    """Lock the tenant's groups in this transaction: one at a time changes members.

    Whoever revokes a permission locks those that have some on the row (`granting`).
    """
    list(locks.locked(TenantGroup.objects.filter(tenant=tenant_id).order_by("pk")))


@contextlib.contextmanager
def still_administered(tenant_id: int) -> Iterator[None]:
    """Let members leave the tenant's groups, in a transaction.

    Raises NobodyAdministers at its end, and nothing was changed, where a row would be
    left of which only they were the active ones who administer it. It takes a few
    queries, however much was granted. Who deletes a group takes all members out first.
    """
    with transaction.atomic():
        lock_groups(tenant_id)
        before = _with_active(tenant_id)
        yield
        emptied = before - _with_active(tenant_id)
        if emptied and any(_leaves_any(kind, emptied) for kind in KINDS):
            raise NobodyAdministers(
                _("Only they administer some objects or events: grant it to others.")
            )


def _with_active(tenant_id: int) -> set[int]:
    """Return the tenant's groups in which somebody is active."""
    groups = TenantGroup.objects.filter(
        tenant=tenant_id, user__is_active=True, user__tenant=tenant_id
    )
    return set(groups.values_list("pk", flat=True).distinct())


def _leaves_any(kind: Granted[Any], emptied: set[int]) -> bool:
    """Whether the groups administer a row that nobody active administers otherwise."""
    administer = Q(permission__codename=kind.codenames[Access.ADMINISTER])
    same = Q(content_object=OuterRef("content_object"))
    tenant = F("content_object__tenant")
    users = kind.of_users.objects.filter(
        administer, same, user__is_active=True, user__tenant=tenant
    )
    groups = kind.of_groups.objects.filter(
        administer,
        same,
        group__tenantgroup__tenant=tenant,
        group__user__is_active=True,
        group__user__tenant=tenant,
    )
    theirs = kind.of_groups.objects.filter(
        administer, group__in=emptied, group__tenantgroup__tenant=tenant
    )
    return bool(theirs.filter(~Exists(users), ~Exists(groups)).exists())
