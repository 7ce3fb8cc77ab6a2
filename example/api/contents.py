"""Contents of objects: by the object's id, and by its path."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from functools import partial

from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import user_of
from api import documented, links
from api.bodies import body_of, length_of
from api.idempotency import once
from api.parsers import StreamParser
from api.problems import Problem
from api.serializers import (
    LinkParametersSerializer,
    LinkSerializer,
    ObjectSerializer,
    described,
)
from api.serving import OfAnyKind, download
from objects import access, finding, mediatypes, names, storing
from objects.access import Access
from objects.conditions import Conditions, content_etag
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version


class ObjectContentView(OfAnyKind):
    """An object's newest content."""

    parser_classes = (StreamParser,)

    @extend_schema(
        responses=documented.DOWNLOAD | {(200, "application/json"): LinkSerializer},
        parameters=[LinkParametersSerializer, *documented.DOWNLOAD_PARAMETERS],
    )
    def get(self, request: Request, pk: uuid.UUID) -> HttpResponseBase:
        """Download the content; ranges and conditions are honoured.

        With `link=true` it gives an address of the content instead, which anybody may
        open for five minutes.
        """
        found = access.find(request.user, pk)
        return content_of(request, found, found.current)

    head = get

    @extend_schema(
        request=documented.BODY,
        responses={200: ObjectSerializer} | documented.REPLACING,
        parameters=[
            documented.IF_MATCH,
            documented.IF_NONE_MATCH,
            documented.IDEMPOTENCY_KEY,
        ],
    )
    def put(self, request: Request, pk: uuid.UUID) -> Response:
        """Store the body as the newest version of the object.

        The body is read as it comes, and needs a Content-Length.
        """
        found = access.find(request.user, pk, Access.EDIT)
        conditions = Conditions.of(request.headers)
        with incoming(request) as content:

            def replace() -> Version:
                conditions.check(content_etag(found.current))
                return storing.replace(
                    content, found, user=user_of(request), conditions=conditions
                )

            return once(request, content, {}, replace, partial(stored, status=200))


class ContentView(APIView):
    """An object's content by its path: what `curl -T` sends."""

    parser_classes = (StreamParser,)

    @extend_schema(
        request=documented.BODY,
        responses={200: ObjectSerializer, 201: ObjectSerializer}
        | documented.CREATING
        | documented.REPLACING,
        parameters=[
            OpenApiParameter("path", str, OpenApiParameter.PATH),
            documented.IF_MATCH,
            documented.IF_NONE_MATCH,
            documented.IDEMPOTENCY_KEY,
        ],
    )
    def put(self, request: Request, path: str) -> Response:
        """Store the body as a new object, or as a new version of the one of its name.

        The body is read as it comes, and needs a Content-Length.
        """
        folder, name = names.clean_path(path)
        with incoming(request) as content:
            return put_by_name(request, content, folder, name)


def put_by_name(
    request: Request,
    content: IncomingFile,
    folder: str,
    name: str,
    *,
    always_created: bool = False,
) -> Response:
    """Store the content under the name, once for an Idempotency-Key."""
    user = user_of(request)
    conditions = Conditions.of(request.headers)

    def put() -> Version:
        there = finding.of_path(user.tenant_id, folder, name)
        if there is not None and not access.allows(user, there, Access.EDIT):
            raise Problem(409, _("Another object has the name."), "name_taken")
        # Once more when it is stored; this spares the body.
        conditions.check(content_etag(there.current if there else None))
        return storing.store(
            content,
            tenant=user.tenant,
            user=user,
            folder=folder,
            name=name,
            conditions=conditions,
            is_free=there is None,
        )

    def respond(version: Version) -> Response:
        # An earlier one may have been begun, and not be stored.
        is_first = version.number == 1 if version.is_first is None else version.is_first
        return stored(version, status=201 if always_created or is_first else 200)

    return once(request, content, {"folder": folder, "name": name}, put, respond)


def stored(version: Version, status: int) -> Response:
    """Return the response that says so; its ETag is the content's."""
    headers = {"ETag": content_etag(version) or ""}
    if status == 201:
        headers["Location"] = reverse("api:object-detail", args=[version.object_id])
    found = version.object
    return Response(described(found), status=status, headers=headers)


def content_of(
    request: Request, found: StoredObject, version: Version | None
) -> HttpResponseBase:
    """Return the content, or the link to it where the request asks for that."""
    wants_link = asks_for_link(request)
    if version is None:
        raise Problem(409, _("Nothing is stored of the object yet."), "pending")
    if wants_link:
        link = links.link_to(request, found, version)
        return Response(
            LinkSerializer(link).data, headers={"Cache-Control": "no-store"}
        )
    return download(request._request, found, version)


def asks_for_link(request: Request) -> bool:
    """Whether a link is asked for; raises ValidationError for what is no answer."""
    if not request.query_params:
        return False
    given = LinkParametersSerializer(data=request.query_params)
    given.is_valid(raise_exception=True)
    return bool(given.validated_data["link"])


@contextlib.contextmanager
def incoming(request: Request) -> Iterator[IncomingFile]:
    """Yield the body, unread. Raises Problem without a length, and of a bad type."""
    kind = clean_type(request.content_type or mediatypes.UNKNOWN)
    length = length_of(request)
    with body_of(request) as stream:
        yield IncomingFile(stream, length, kind)


def clean_type(text: str) -> str:
    """Return the media type; raises Problem where it is none."""
    if (kind := mediatypes.cleaned(text)) is None:
        raise Problem(415, _("That is no media type."), "bad_type")
    return kind
