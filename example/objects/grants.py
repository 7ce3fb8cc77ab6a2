"""Permissions on objects: granted to users and groups of the object's tenant, revoked.

Whether the caller may is asked before, of ``access``.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from accounts.prepared import Parameter, Prepared, PreparedInsert
from audit.actions import Action
from audit.recording import record
from objects.access import OBJECTS, Access
from objects.granting import Grant, Holder, NobodyAdministers, holder_of
from objects.models import (
    DefaultPermission,
    GroupPermission,
    StoredObject,
    UserPermission,
)

__all__ = ["Grant", "Holder", "NobodyAdministers", "forget_elsewhere", "grant"]
__all__ += ["grant_by_default", "grant_first", "grants", "holder_of", "revoke"]
__all__ += ["revoke_default"]

MAX_DEFAULTS = 100  # of one tenant
grants = OBJECTS.grants
grant = OBJECTS.grant
revoke = OBJECTS.revoke


_FIRST = PreparedInsert(
    UserPermission,
    lambda: {"permission": Subquery(OBJECTS.permissions(Access.ADMINISTER))},
)
_DEFAULTS = Prepared(
    lambda: DefaultPermission.objects.filter(
        Q(user__tenant=F("tenant")) | Q(group__tenant=F("tenant")),
        tenant=Parameter("tenant", Tenant),
    )
)


def grant_first(found: StoredObject, creator: User) -> None:
    """Grant what a new object begins with: its creator administers it, and the
    tenant's defaults apply.
    """
    if creator.tenant_id == found.tenant_id:
        _FIRST(UserPermission(user=creator, content_object=found))
    defaults = _DEFAULTS.all(tenant=found.tenant_id)
    if not defaults:
        return
    ids = OBJECTS.permission_ids()
    users, groups = set(), set()
    for default in defaults:
        access = Access.of_word(default.access)
        if default.user_id is not None:
            users.add((default.user_id, access))
        elif default.group_id is not None:
            groups.add((default.group_id, access))
    users.discard((creator.pk, Access.ADMINISTER))
    UserPermission.objects.bulk_create(
        UserPermission(user_id=pk, permission_id=ids[access], content_object=found)
        for pk, access in sorted(users, key=str)
    )
    GroupPermission.objects.bulk_create(
        GroupPermission(group_id=pk, permission_id=ids[access], content_object=found)
        for pk, access in sorted(groups, key=str)
    )


def grant_by_default(
    tenant_id: int, holder: Holder, access: Access, *, actor: User | None
) -> DefaultPermission:
    """Let the holder have that access to the tenant's objects made from now on.

    It takes the place of the holder's default before. Raises ValidationError where the
    holder is of another tenant, or the tenant has its most.
    """
    of_whom: dict[str, Any] = {
        "user" if isinstance(holder, User) else "group": holder,
    }
    with transaction.atomic():
        made, _new = DefaultPermission.objects.update_or_create(
            tenant_id=tenant_id, **of_whom, defaults={"access": access.word}
        )
        if DefaultPermission.objects.filter(tenant=tenant_id).count() > MAX_DEFAULTS:
            raise ValidationError(
                _("At most %(count)s users and groups have permissions by default.")
                % {"count": MAX_DEFAULTS}
            )
        _record_default(Action.DEFAULT_GRANT, made, actor)
    return made


def revoke_default(default: DefaultPermission, *, actor: User | None) -> None:
    """Take it back; objects that were made under it keep what they have."""
    with transaction.atomic():
        _record_default(Action.DEFAULT_REVOKE, default, actor)
        default.delete()


def forget_elsewhere(user: User) -> None:
    """Take back what the user was granted in tenants that they do not belong to."""
    OBJECTS.forget_elsewhere(user)
    DefaultPermission.objects.filter(user=user).exclude(tenant=user.tenant_id).delete()


def _record_default(
    action: Action, default: DefaultPermission, actor: User | None
) -> None:
    record(
        action,
        default,
        tenant_id=default.tenant_id,
        actor=actor,
        user=default.user_id,
        group=default.group_id,
        access=default.access,
    )
