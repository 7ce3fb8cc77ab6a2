"""Who may do what to which object: the one place that is asked.

The anonymous and the inactive may nothing, and guardian's tables are never asked about
them. An administrator of the super-tenant may everything; a tenant's administrator may
view and edit every object of the tenant; anybody else what was granted on the object to
them or to a group of theirs. Django's own flags and permissions of all objects
(``is_superuser``, ``user_permissions``) say nothing here. A grant counts only while the
object, the user and the group are of one tenant, whatever the rows say.
"""

from __future__ import annotations

import enum
from typing import Any, TypeGuard

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404

from accounts.models import User
from objects.models import GroupPermission, StoredObject, UserPermission


class Access(enum.Enum):
    """What may be done; each includes those before it."""

    VIEW = "view_storedobject"
    EDIT = "edit_object"
    ADMINISTER = "administer_object"

    @property
    def word(self) -> str:
        """The API's word for it: ``view``, ``edit`` or ``administer``."""
        return self.name.lower()

    @classmethod
    def of_word(cls, word: str) -> Access:
        """Return the access of the API's word; raises KeyError where there is none."""
        return cls[word.upper()]


WORDS = tuple(one.word for one in Access)
_INCLUDED = {
    Access.VIEW: (Access.VIEW, Access.EDIT, Access.ADMINISTER),
    Access.EDIT: (Access.EDIT, Access.ADMINISTER),
    Access.ADMINISTER: (Access.ADMINISTER,),
}


def may_anything(user: User | AnonymousUser) -> TypeGuard[User]:
    """Whether it is a user who is active: others are refused before all else."""
    return bool(user.is_authenticated and user.is_active)


def visible(
    user: User | AnonymousUser, access: Access = Access.VIEW
) -> QuerySet[StoredObject]:
    """Return the objects, deleted ones too, that the user has that access to.

    The database decides, by subqueries: no list of ids is fetched.
    """
    everything = StoredObject.objects.all()
    if not may_anything(user):
        return everything.none()
    if user.is_super_administrator:
        return everything
    of_tenant = everything.filter(tenant=user.tenant_id)
    if user.is_administrator and access is not Access.ADMINISTER:
        return of_tenant
    codenames = [one.value for one in _INCLUDED[access]]
    to_user = UserPermission.objects.filter(
        user=user.pk, permission__codename__in=codenames
    )
    to_groups = GroupPermission.objects.filter(
        group__user=user.pk,
        group__tenantgroup__tenant=user.tenant_id,
        permission__codename__in=codenames,
    )
    return of_tenant.filter(
        Q(pk__in=to_user.values("content_object"))
        | Q(pk__in=to_groups.values("content_object"))
    )


def allows(
    user: User | AnonymousUser, found: StoredObject, access: Access = Access.VIEW
) -> bool:
    """Whether the user has that access to the object."""
    return visible(user, access).filter(pk=found.pk).exists()


def find(
    user: User | AnonymousUser,
    pk: Any,
    access: Access = Access.VIEW,
    *,
    deleted: bool = False,
) -> StoredObject:
    """Return the object of the key, that the user has that access to.

    Raises Http404 where the user may not see it or there is none, and PermissionDenied
    where they see it and may not do that. A deleted one is found only where that is
    asked for.
    """
    seen = visible(user).filter(pk=pk, deleted_at__isnull=not deleted)
    found = seen.select_related("current").first()
    if found is None:
        raise Http404
    if access is not Access.VIEW and not allows(user, found, access):
        raise PermissionDenied
    return found


def may_write(user: User, folder: str, name: str) -> bool:
    """Whether the user may make an object of that name, or a new version of it."""
    there = StoredObject.objects.filter(
        tenant=user.tenant_id, folder=folder, name=name, deleted_at=None
    ).first()
    return there is None or allows(user, there, Access.EDIT)
