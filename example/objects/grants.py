"""Permissions on objects: granted to users and groups of the object's tenant, revoked.

Whether the caller may is asked before, of ``access``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import TenantGroup, User
from audit.actions import Action
from audit.recording import record
from objects.access import Access
from objects.models import (
    DefaultPermission,
    GroupPermission,
    StoredObject,
    UserPermission,
)

Holder = User | TenantGroup
MAX_GRANTS = 1000  # on one object
MAX_DEFAULTS = 100  # of one tenant
_ORDER = list(Access)


@dataclass(frozen=True)
class Grant:
    """What one user or one group may do to an object."""

    holder_id: int
    name: str
    is_group: bool
    access: Access


class NobodyAdministers(Exception):
    """The last one who administers the object would be gone."""


def permission_ids() -> dict[Access, int]:
    """Return the keys of Django's rows of the three permissions, by one query."""
    rows = Permission.objects.filter(
        content_type__app_label="objects",
        content_type__model="storedobject",
        codename__in=[one.value for one in Access],
    )
    return {Access(codename): pk for codename, pk in rows.values_list("codename", "pk")}


def holder_of(
    tenant_id: int, *, user: int | None = None, group: int | None = None
) -> Holder:
    """Return the user or the group of the tenant; exactly one is given.

    Raises ValidationError, the same for one of another tenant and for none at all.
    """
    if (user is None) == (group is None):
        raise ValidationError(_("Name a user or a group, and one of them only."))
    found: Holder | None = None
    if user is not None:
        found = User.objects.filter(pk=user, tenant=tenant_id).first()
    elif group is not None:
        found = TenantGroup.objects.filter(pk=group, tenant=tenant_id).first()
    if found is None:
        raise ValidationError(_("There is no such user or group in the tenant."))
    return found


def grants(found: StoredObject) -> list[Grant]:
    """Return what is granted on the object: for each holder the widest, by two queries.

    Users come first, each kind by name. What does not count (``access``) is left out.
    """
    widest: dict[tuple[bool, str, int], Access] = {}
    rows: list[tuple[bool, str, int, str]] = [
        (False, name, pk, codename)
        for name, pk, codename in UserPermission.objects.filter(
            content_object=found, user__tenant=found.tenant_id
        ).values_list("user__username", "user", "permission__codename")
    ]
    rows += [
        (True, name, pk, codename)
        for name, pk, codename in GroupPermission.objects.filter(
            content_object=found, group__tenantgroup__tenant=found.tenant_id
        ).values_list("group__tenantgroup__label", "group", "permission__codename")
    ]
    for is_group, name, pk, codename in rows:
        key, access = (is_group, name, pk), Access(codename)
        widest[key] = max(widest.get(key, access), access, key=_ORDER.index)
    return [
        Grant(pk, name, is_group, widest[is_group, name, pk])
        for is_group, name, pk in sorted(widest)
    ]


def grant(
    found: StoredObject, holder: Holder, access: Access, *, actor: User | None
) -> Grant:
    """Let the holder have that access, and no wider one that they had before.

    Raises ValidationError where the holder is of another tenant or the object has its
    most, and NobodyAdministers where the last one who administers would do so no more.
    """
    with transaction.atomic():
        _lock(found)
        _drop(found, holder)
        _make(found, holder, permission_ids()[access])
        _check(found)
        _record(Action.PERMISSION_GRANT, found, holder, actor, access=access.word)
    return Grant(
        holder.pk,
        holder.username if isinstance(holder, User) else holder.label,
        isinstance(holder, TenantGroup),
        access,
    )


def revoke(found: StoredObject, holder: Holder, *, actor: User | None) -> bool:
    """Take back what was granted to the holder; returns whether there was anything.

    Raises NobodyAdministers where nobody would administer the object any more.
    """
    with transaction.atomic():
        _lock(found)
        if not _drop(found, holder):
            return False
        _check(found)
        _record(Action.PERMISSION_REVOKE, found, holder, actor)
    return True


def grant_first(found: StoredObject, creator: User) -> None:
    """Grant what a new object begins with: its creator administers it, and the
    tenant's defaults apply.
    """
    ids = permission_ids()
    users = {(creator.pk, Access.ADMINISTER)}
    if creator.tenant_id != found.tenant_id:
        users.clear()
    groups = set()
    of_one_tenant = Q(user__tenant=F("tenant")) | Q(group__tenant=F("tenant"))
    for default in DefaultPermission.objects.filter(
        of_one_tenant, tenant=found.tenant_id
    ):
        access = Access.of_word(default.access)
        if default.user_id is not None:
            users.add((default.user_id, access))
        elif default.group_id is not None:
            groups.add((default.group_id, access))
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
    UserPermission.objects.filter(user=user).exclude(
        content_object__tenant=user.tenant_id
    ).delete()
    DefaultPermission.objects.filter(user=user).exclude(tenant=user.tenant_id).delete()


def _lock(found: StoredObject) -> None:
    # Two who take back each other's permission: one of them comes second, and is told.
    StoredObject.objects.select_for_update().get(pk=found.pk)


def _of(found: StoredObject, holder: Holder) -> models.QuerySet[models.Model]:
    rows: models.QuerySet[models.Model]
    if isinstance(holder, User):
        rows = UserPermission.objects.filter(user=holder)
    else:
        rows = GroupPermission.objects.filter(group=holder.pk)
    return rows.filter(content_object=found)


def _drop(found: StoredObject, holder: Holder) -> int:
    return _of(found, holder).delete()[0]


def _make(found: StoredObject, holder: Holder, permission: int) -> None:
    if isinstance(holder, User):
        UserPermission.objects.create(
            user=holder, permission_id=permission, content_object=found
        )
    else:
        GroupPermission.objects.create(
            group=holder, permission_id=permission, content_object=found
        )


def _check(found: StoredObject) -> None:
    granted = grants(found)
    if len(granted) > MAX_GRANTS:
        raise ValidationError(
            _("At most %(count)s users and groups have permissions on an object.")
            % {"count": MAX_GRANTS}
        )
    if not any(one.access is Access.ADMINISTER for one in granted):
        raise NobodyAdministers(_("Somebody has to administer the object."))


def _record(
    action: Action,
    found: StoredObject,
    holder: Holder,
    actor: User | None,
    **details: str,
) -> None:
    kind = "user" if isinstance(holder, User) else "group"
    record(
        action,
        found,
        tenant_id=found.tenant_id,
        actor=actor,
        **{kind: holder.pk},
        **details,
    )


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
