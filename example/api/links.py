"""Links to contents that are good for some minutes, whoever opens them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from django.core import signing
from django.http import Http404
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.access import user_of
from accounts.models import User
from accounts.tokens import is_version_of, version_of
from api import documented
from api.serving import download
from objects import access
from objects.models import StoredObject, Version

LIFETIME = timedelta(minutes=5)
SALT = "api.links"


class Link(NamedTuple):
    """An address, and when it ends."""

    url: str
    expires_at: datetime


def link_to(request: Request, found: StoredObject, version: Version) -> Link:
    """Return a link to the version's content, for what the user may see now.

    It is bound to the user: it ends with their tokens, revoked or by another password,
    and where they may not see the object any more.
    """
    user = user_of(request)
    signer = signing.TimestampSigner(salt=SALT)
    token = signer.sign_object([version.pk.hex, user.pk, version_of(user)])
    path = reverse("api:link", args=[token])
    return Link(request.build_absolute_uri(path), timezone.now() + LIFETIME)


class LinkView(APIView):
    """A content by a link; the link is what allows it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        responses=documented.DOWNLOAD, parameters=documented.DOWNLOAD_PARAMETERS
    )
    def get(self, request: Request, token: str) -> HttpResponseBase:
        """Download what the link leads to; 404 once it is over."""
        version = _version_of(token)
        return download(request._request, version.object, version)

    head = get


def _version_of(token: str) -> Version:
    signer = signing.TimestampSigner(salt=SALT)
    try:
        pk, user_pk, given = signer.unsign_object(token, max_age=LIFETIME)
    except (signing.BadSignature, ValueError):
        raise Http404 from None
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
