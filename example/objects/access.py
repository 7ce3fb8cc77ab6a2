"""Who may do what to which object: the one place that is asked.

The anonymous and the inactive may nothing, and guardian is never asked about them. An
administrator of the super-tenant may everything; a tenant's administrator may view and
edit every object of the tenant; anybody else what was granted.
"""

from __future__ import annotations

import enum

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from guardian.shortcuts import assign_perm, get_objects_for_user

from accounts.models import User
from objects.models import StoredObject


class Access(enum.Enum):
    """What may be done; each includes those before it."""

    VIEW = "view_storedobject"
    EDIT = "edit_object"
    ADMINISTER = "administer_object"


_INCLUDED = {
    Access.VIEW: (Access.VIEW, Access.EDIT, Access.ADMINISTER),
    Access.EDIT: (Access.EDIT, Access.ADMINISTER),
    Access.ADMINISTER: (Access.ADMINISTER,),
}


def may_anything(user: User | AnonymousUser) -> bool:
    """Whether it is a user who is active: others are refused before all else."""
    return bool(user.is_authenticated and user.is_active)


def visible(
    user: User | AnonymousUser, access: Access = Access.VIEW
) -> QuerySet[StoredObject]:
    """Return the objects, deleted ones too, that the user has that access to."""
    everything = StoredObject.objects.all()
    if not may_anything(user):
        return everything.none()
    assert isinstance(user, User)  # noqa: S101
    if user.is_super_administrator:
        return everything
    granted = get_objects_for_user(
        user,
        [f"objects.{one.value}" for one in _INCLUDED[access]],
        everything.filter(tenant=user.tenant_id),
        any_perm=True,
        with_superuser=False,
        accept_global_perms=False,
    )
    if user.is_administrator and access is not Access.ADMINISTER:
        return everything.filter(tenant=user.tenant_id)
    return everything.filter(Q(pk__in=granted.values("pk")))


def allows(
    user: User | AnonymousUser, found: StoredObject, access: Access = Access.VIEW
) -> bool:
    """Whether the user has that access to the object."""
    return visible(user, access).filter(pk=found.pk).exists()


def grant_creator(found: StoredObject, user: User) -> None:
    """Let the user administer the object that they made."""
    assign_perm(Access.ADMINISTER.value, user, found)
