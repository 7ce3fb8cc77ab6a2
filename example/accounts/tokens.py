"""Tokens for the API: who holds one is a user, until it expires or is revoked."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import F
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed
from rest_framework_simplejwt.tokens import RefreshToken, Token

from accounts.models import User

VERSION = "version"
"""The claim that holds the user's ``token_version``."""


def create_tokens(user: User) -> RefreshToken:
    """Return a new refresh token; its ``access_token`` is the other."""
    refresh = RefreshToken.for_user(user)
    refresh[VERSION] = user.token_version
    return refresh


def revoke_tokens(user: User) -> None:
    """Refuse all tokens that the user was given until now, at once."""
    User.objects.filter(pk=user.pk).update(token_version=F("token_version") + 1)


class TokenAuthentication(JWTAuthentication):
    """Authenticates ``Authorization: Bearer``, by an access token not yet revoked."""

    def get_user(self, validated_token: Token) -> Any:
        """Return the user; raises AuthenticationFailed where the token is revoked."""
        user = cast(User, super().get_user(validated_token))
        if validated_token.get(VERSION) != user.token_version:
            raise AuthenticationFailed(str(_("The token was revoked.")), code="revoked")
        return user


def describe(user: User) -> dict[str, Any]:
    """Return both tokens as the API and the command give them."""
    refresh = create_tokens(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}
