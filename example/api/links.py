"""Links to contents that are good for some minutes, whoever opens them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core import signing
from django.http import Http404
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from accounts.access import user_of
from accounts.counting import address_of
from accounts.models import User
from accounts.tokenversions import is_version_of, version_of
from api import documented
from api.serving import OfAnyKind, download
from api.throttles import AnonymousThrottle, UserThrottle
from objects import access
from objects.models import StoredObject, Version

LIFETIME = timedelta(minutes=5)
SALT = "api.links"


class TimedLink(NamedTuple):
    """An address, and when it ends."""

    url: str
    expires_at: datetime


def link_to(request: Request, found: StoredObject, version: Version) -> TimedLink:
    """Return a link to the version's content, for what the user may see now.

    It is bound to the user: it ends with their tokens, revoked or by another password,
    and where they may not see the object any more.
    """
    user = user_of(request)
    signer = signing.TimestampSigner(salt=SALT)
    token = signer.sign_object([version.pk.hex, user.pk, version_of(user)])
    path = reverse("api:link", args=[token])
    return TimedLink(request.build_absolute_uri(path), timezone.now() + LIFETIME)


class LinkUserThrottle(UserThrottle):
    """Counts a link as a request of the user whom it was given."""

    def who(self, request: Any) -> Any:
        return _given_to(request)


class BadLinkThrottle(AnonymousThrottle):
    """Counts by their address who opens what is no link."""

    def who(self, request: Any) -> Any:
        return address_of(request) if _given_to(request) is None else None


def _given_to(request: Any) -> int | None:
    found = _signed(request.parser_context["kwargs"]["token"])
    return None if found is None else found[1]


class LinkView(OfAnyKind):
    """A content by a link; the link is what allows it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LinkUserThrottle, BadLinkThrottle)

    @extend_schema(
        responses=documented.DOWNLOAD, parameters=documented.DOWNLOAD_PARAMETERS
    )
    def get(self, request: Request, token: str) -> HttpResponseBase:
        """Download what the link leads to; 404 once it is over."""
        version = _version_of(token)
        return download(request._request, version.object, version)

    head = get


def _signed(token: str) -> tuple[str, int, str] | None:
    """Return the ids of version and user, and the user's version; None: of no link."""
    signer = signing.TimestampSigner(salt=SALT)
    try:
        pk, user_pk, given = signer.unsign_object(token, max_age=LIFETIME)
    except (signing.BadSignature, ValueError):
        return None
    return pk, user_pk, given


def _version_of(token: str) -> Version:
    if (signed := _signed(token)) is None:
        raise Http404
    pk, user_pk, given = signed
    user = User.objects.select_related("tenant").filter(pk=user_pk).first()
    if user is None or not is_version_of(given, user):
        raise Http404
    version = (
        Version.objects.filter(
            pk=uuid.UUID(pk), state=Version.State.STORED, object__deleted_at=None
        )
        .select_related("object")
        .first()
    )
    if version is None or not access.allows(user, version.object):
        raise Http404
    return version
