"""Tokens: obtained by name and password, refreshed, revoked."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import (
    TokenObtainPairSerializer,
    TokenRefreshSerializer,
)
from rest_framework_simplejwt.tokens import RefreshToken, Token
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from accounts import logins
from accounts.access import user_of
from accounts.models import User
from accounts.tokens import create_tokens, is_revoked, revoke_tokens


class ObtainSerializer(TokenObtainPairSerializer):
    """Gives tokens that a user can revoke, unless too many attempts failed."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        logins.check(attrs[self.username_field], self.context["request"])
        return super().validate(attrs)

    @classmethod
    def get_token(cls, user: Any) -> Token:
        return create_tokens(user)


class RefreshSerializer(TokenRefreshSerializer):
    """Refuses a refresh token that was revoked."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        claims = RefreshToken(attrs["refresh"])
        user = User.objects.filter(pk=claims.get("user_id"), is_active=True).first()
        if user is None or is_revoked(claims, user):
            raise InvalidToken("The token was revoked.")
        return super().validate(attrs)


class ObtainView(TokenObtainPairView):
    serializer_class = ObtainSerializer


class RefreshView(TokenRefreshView):
    serializer_class = RefreshSerializer


class RevokeView(APIView):
    """All tokens of the user, also the one that is shown."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Revoke every token that the user was given until now."""
        user = user_of(request)
        revoke_tokens(user, by=user)
        return Response(status=204)
