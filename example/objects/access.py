"""Who may do what to which object: the one place that is asked.

What decides is told in ``granting``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404

from accounts.models import User
from objects import finding
from objects.granting import Access, Granted, may_anything
from objects.models import GroupPermission, StoredObject, UserPermission

__all__ = ["OBJECTS", "WORDS", "Access", "allows", "find", "may_anything"]
__all__ += ["may_write", "visible"]

WORDS = tuple(one.word for one in Access)
OBJECTS = Granted(
    StoredObject,
    UserPermission,
    GroupPermission,
    {one: one.value for one in Access},
    related=["current"],
)


def visible(
    user: User | AnonymousUser,
    access: Access = Access.VIEW,
    *,
    among: Collection[Any] | None = None,
    each: bool = False,
) -> QuerySet[StoredObject]:
    """Return the objects, deleted ones too, that the user has that access to.

    Of those keys alone where ``among`` has some. The database decides, by subqueries:
    no list of ids is fetched. ``each`` is for a few objects (`Granted.visible`).
    """
    return OBJECTS.visible(user, access, among=among, each=each)


def allows(
    user: User | AnonymousUser, found: StoredObject, access: Access = Access.VIEW
) -> bool:
    """Whether the user has that access to the object."""
    return OBJECTS.allows(user, found, access)


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
    found = OBJECTS.one(user, pk)
    if found is None or (found.deleted_at is not None) is not deleted:
        raise Http404
    if access is not Access.VIEW and not allows(user, found, access):
        raise PermissionDenied
    return found


def may_write(user: User, folder: str, name: str) -> bool:
    """Whether the user may make an object of that name, or a new version of it."""
    there = finding.of_path(user.tenant_id, folder, name)
    return there is None or allows(user, there, Access.EDIT)
