"""Passwords: a link asked for, set by a link, changed by who knows the old one."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import logins, passwords
from accounts.models import User


class ResetSerializer(serializers.Serializer[Any]):
    """Whose password is forgotten."""

    email = serializers.EmailField(max_length=254)


class MailedLinkSerializer(serializers.Serializer[Any]):
    """What the mail said, and a password."""

    uid = serializers.CharField(max_length=100)
    token = serializers.CharField(max_length=200)
    password = serializers.CharField(
        max_length=4096, trim_whitespace=False, write_only=True
    )


class ChangeSerializer(serializers.Serializer[Any]):
    """The password so far, and another."""

    current = serializers.CharField(
        max_length=4096, trim_whitespace=False, write_only=True
    )
    password = serializers.CharField(
        max_length=4096, trim_whitespace=False, write_only=True
    )


class ResetView(APIView):
    """A link by mail, for who forgot the password or never had one."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=ResetSerializer, responses={202: None})
    def post(self, request: Request) -> Response:
        """Have a link sent to the address, if a user has it; the response is the same.

        A job sends it. An address gets three in an hour.
        """
        given = ResetSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        passwords.request_reset(given.validated_data["email"], request)
        return Response(status=202)


class SetView(APIView):
    """A password by the link of a mail."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=MailedLinkSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Set the password. The link is good once, and ends all tokens."""
        given = MailedLinkSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with logins.guessing(request, passwords.LinkNotValid):
            passwords.set_by_link(**given.validated_data)
        return Response(status=204)


class ChangeView(APIView):
    """One's own password."""

    @extend_schema(request=ChangeSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Change it; all tokens end, also the one that is shown."""
        given = ChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        told = given.validated_data
        passwords.change(cast(User, request.user), told["current"], told["password"])
        return Response(status=204)
