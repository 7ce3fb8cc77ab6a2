"""Tokens for the API: who holds one is a user, until it expires or is revoked."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed
from rest_framework_simplejwt.tokens import RefreshToken, Token

from accounts.models import User
from accounts.prepared import Parameter, Prepared
from accounts.tokenversions import is_version_of, version_of
from audit.actions import Action
from audit.recording import record

VERSION = "version"
"""The claim that changes with the user's ``token_version`` and password."""


def create_tokens(user: User) -> RefreshToken:
    """Return a new refresh token; its ``access_token`` is the other."""
    refresh = RefreshToken.for_user(user)
    refresh[VERSION] = version_of(user)
    return refresh


def is_revoked(token: Token, user: User) -> bool:
    """Whether the user revoked the token, or has another password since."""
    return not is_version_of(token.get(VERSION), user)


def revoke_tokens(user: User, *, by: User | None) -> None:
    """Refuse all tokens that the user was given until now, at once."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(token_version=F("token_version") + 1)
        record(Action.TOKEN_REVOKE, user, tenant_id=user.tenant_id, actor=by)


_USER = Prepared(
    lambda: User.objects.select_related("tenant").filter(pk=Parameter("pk", User))
)


class _UsersOfTenants:
    """Users with their tenants: nearly every request asks for the tenant too."""

    def get(self, *, id: Any) -> User:
        """Return the user; raises DoesNotExist."""
        user = _USER.first(pk=id)
        if user is None:
            raise User.DoesNotExist
        return user


class _UserOfTenant:
    """Where the authentication looks for users."""

    objects = _UsersOfTenants()
    DoesNotExist = User.DoesNotExist


class TokenAuthentication(JWTAuthentication):
    """Authenticates ``Authorization: Bearer``, by an access token not yet revoked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user_model: Any = _UserOfTenant

    def get_user(self, validated_token: Token) -> Any:
        """Return the user; raises AuthenticationFailed where the token is revoked."""
        user = cast(User, super().get_user(validated_token))
        if is_revoked(validated_token, user):
            raise AuthenticationFailed(str(_("The token was revoked.")), code="revoked")
        return user


def describe(user: User) -> dict[str, Any]:
    """Return both tokens as the API and the command give them."""
    refresh = create_tokens(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}
