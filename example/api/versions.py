"""The versions of an object: list, download one, make an old one the newest."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import user_of
from api import documented
from api.contents import content_of
from api.idempotency import makes_once
from api.serializers import (
    LinkParametersSerializer,
    LinkSerializer,
    ObjectSerializer,
    VersionSerializer,
    shown,
)
from api.serving import OfAnyKind
from objects import access, changing
from objects.access import Access
from objects.conditions import Conditions
from objects.models import StoredObject, Version


class VersionsView(generics.ListAPIView[Version]):
    """The versions of an object, the newest first."""

    serializer_class = VersionSerializer
    queryset = Version.objects.none()
    filter_backends = ()
    ordering = "-number"

    def get_queryset(self) -> QuerySet[Version]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        found = access.find(self.request.user, self.kwargs["pk"])
        return found.versions.filter(state=Version.State.STORED)


class VersionContentView(OfAnyKind):
    """The content of one version."""

    @extend_schema(
        responses=documented.DOWNLOAD | {(200, "application/json"): LinkSerializer},
        parameters=[LinkParametersSerializer, *documented.DOWNLOAD_PARAMETERS],
    )
    def get(self, request: Request, pk: uuid.UUID, number: int) -> HttpResponseBase:
        """Download a version's content, or get a link to it, as of the newest."""
        found = access.find(request.user, pk)
        return content_of(request, found, version_of(found, number))

    head = get


class VersionRestoreView(APIView):
    """An old version becomes the newest."""

    @extend_schema(
        request=None,
        responses={200: ObjectSerializer, 412: None},
        parameters=[documented.IF_MATCH, documented.IDEMPOTENCY_KEY],
    )
    @makes_once(about="id")
    def post(self, request: Request, pk: uuid.UUID, number: int) -> Response:
        """Make the version the newest, under the next number. No byte is copied."""
        found = access.find(request.user, pk, Access.EDIT)
        conditions = Conditions.of(request.headers)
        version = version_of(found, number)
        actor = user_of(request)
        return shown(changing.restore(version, actor=actor, conditions=conditions))


def version_of(found: StoredObject, number: int) -> Version:
    """Return a stored version of the object; raises Http404."""
    version = found.versions.filter(number=number, state=Version.State.STORED).first()
    if version is None:
        raise Http404
    version.object = found
    return version
