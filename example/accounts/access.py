"""Who may see and change which tenants, users and groups.

An administrator of the super-tenant: all of them. A tenant's administrator: the tenant,
its users and its groups, but not its quotas. Anybody else: oneself. The anonymous and
the inactive: nothing.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from accounts.models import Tenant, TenantGroup, User

Caller = AbstractBaseUser | AnonymousUser


def user_of(request: Any) -> User:
    """Return who sent a request, Django's or the API's; refuses the anonymous."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def administers(user: Caller) -> TypeGuard[User]:
    """Whether the user administers a tenant."""
    return isinstance(user, User) and user.is_active and user.is_administrator


def operates(user: Caller) -> TypeGuard[User]:
    """Whether the user administers the super-tenant, and so the installation."""
    return isinstance(user, User) and user.is_active and user.is_super_administrator


def tenants(user: Caller) -> QuerySet[Tenant]:
    """Return the tenants that the user may see and change."""
    if operates(user):
        return Tenant.objects.all()
    if administers(user):
        return Tenant.objects.filter(pk=user.tenant_id)
    return Tenant.objects.none()


def users(user: Caller) -> QuerySet[User]:
    """Return the users whom the user may see; oneself is one of them."""
    if operates(user):
        return User.objects.all()
    if administers(user):
        return User.objects.filter(tenant=user.tenant_id)
    if isinstance(user, User) and user.is_active:
        return User.objects.filter(pk=user.pk)
    return User.objects.none()


def groups(user: Caller) -> QuerySet[TenantGroup]:
    """Return the groups that the user may see and change."""
    return TenantGroup.objects.filter(tenant__in=tenants(user))
