"""Whoever may call the API: one of each kind, with an object of their tenant's.

What each may do is asked of all of them by a test's parameters::

    @pytest.mark.parametrize("kind", KINDS)
    def test_…(callers: Callers, kind: str) -> None:
        response = callers[kind].api.get(…, args=[callers.object.pk])
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from accounts.models import Tenant, User
from accounts.tokens import create_tokens
from objects import storing
from objects.access import Access
from objects.incoming import IncomingFile
from objects.models import StoredObject

NOBODY, INACTIVE, STRANGER, OTHER_TENANT = (
    "nobody",  # sends no token
    "inactive",  # administers the object and the tenant, but was deactivated
    "stranger",  # a user of the tenant who was granted nothing
    "other_tenant",  # an administrator of another tenant
)
VIEWER, EDITOR, ADMINISTRATOR, SUPER_TENANT = (
    "viewer",  # may view the object
    "editor",  # may edit it
    "administrator",  # made the object, so administers it
    "super_tenant",  # an administrator of the super-tenant
)
TENANT_ADMINISTRATOR = "tenant_administrator"  # of the object's tenant

EIGHT = (
    NOBODY,
    INACTIVE,
    STRANGER,
    OTHER_TENANT,
    VIEWER,
    EDITOR,
    ADMINISTRATOR,
    SUPER_TENANT,
)
KINDS = (*EIGHT, TENANT_ADMINISTRATOR)
"""All of them: the eight, and a tenant's administrator."""
CONTENT = b"The content of the callers' object."


@dataclass(frozen=True)
class Caller:
    """Somebody, and a client of the API that sends their token."""

    kind: str
    account: User | None
    api: APIClient

    @property
    def user(self) -> User:
        """The user; nobody has none."""
        assert self.account is not None, f"{self.kind} has no user"
        return self.account


class Callers(dict[str, Caller]):
    """One caller of each of ``KINDS``, by kind."""

    tenant: Tenant
    """The object's; all but two of the callers belong to it."""
    object: StoredObject
    """Stored, with ``CONTENT``."""


def make_callers() -> Callers:
    """Make tenants, users and the object in the database and the store."""
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    other = Tenant.objects.create(name="Globex", slug="globex")
    operator = Tenant.objects.create(name="Operator", slug="operator", is_super=True)
    callers = Callers()
    callers.tenant = tenant
    callers[NOBODY] = Caller(NOBODY, None, APIClient())
    for kind in KINDS[1:]:
        home = {OTHER_TENANT: other, SUPER_TENANT: operator}.get(kind, tenant)
        user = User.objects.create_user(
            kind,
            f"{kind}@example.org",
            "a password of tests",
            tenant=home,
            is_administrator=kind
            in {INACTIVE, OTHER_TENANT, SUPER_TENANT, TENANT_ADMINISTRATOR},
        )
        callers[kind] = Caller(kind, user, client_of(user))
    callers.object = storing.store(
        IncomingFile(io.BytesIO(CONTENT), len(CONTENT), "text/plain"),
        tenant=tenant,
        user=callers[ADMINISTRATOR].user,
        folder="papers",
        name="plan.txt",
    ).object
    for kind, access in (
        (VIEWER, Access.VIEW),
        (EDITOR, Access.EDIT),
        (INACTIVE, Access.ADMINISTER),
    ):
        assign_perm(access.value, callers[kind].user, callers.object)
    # The token is from before.
    callers[INACTIVE].user.is_active = False
    callers[INACTIVE].user.save()
    return callers


def client_of(user: User) -> APIClient:
    """Return a client of the API that sends a new access token of the user's."""
    client = APIClient()
    access = create_tokens(user).access_token
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client
