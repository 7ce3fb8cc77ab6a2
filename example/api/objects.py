"""The objects of a tenant: list, create, download, change, delete."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, parsers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from api.bodies import body_of, length_of
from api.parsers import StreamParser
from api.problems import Problem
from api.serializers import NewObjectSerializer, ObjectSerializer
from objects import access, names, storing
from objects.access import Access
from objects.incoming import IncomingFile
from objects.models import StoredObject
from tahoestorage.serving import serve

UNKNOWN_TYPE = "application/octet-stream"
BODY = {"*/*": OpenApiTypes.BINARY}


class ObjectViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[StoredObject],
):
    """The objects that one may see."""

    serializer_class = ObjectSerializer
    queryset = StoredObject.objects.none()
    parser_classes = (parsers.MultiPartParser, parsers.JSONParser)
    filterset_fields: ClassVar = {
        "folder": ["exact", "startswith"],
        "name": ["exact"],
        "size": ["gte", "lte"],
        "content_type": ["exact"],
        "sha256": ["exact"],
        "created_at": ["gte", "lt"],
        "owner": ["exact"],
    }
    search_fields = ("name", "folder")
    ordering_fields = ("name", "size", "created_at", "updated_at")

    def get_queryset(self) -> QuerySet[StoredObject]:
        objects = access.visible(self.request.user).filter(deleted_at=None)
        return objects.select_related("current")

    @extend_schema(
        request={"multipart/form-data": NewObjectSerializer},
        responses={201: ObjectSerializer},
    )
    def create(self, request: Request) -> Response:
        """Store a file as a new object, or as a new version of the one of its name."""
        given = NewObjectSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        file = given.validated_data["file"]
        name = given.validated_data.get("name") or names.clean_name(file.name or "")
        content = IncomingFile(file, file.size, file.content_type or UNKNOWN_TYPE)
        return stored(request, content, given.validated_data["folder"], name)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True, url_path="content")
    def content(self, request: Request, pk: str) -> HttpResponseBase:
        """Download the object's content; ranges and conditions are honoured."""
        found = self.get_object()
        if found.current is None:
            raise Problem(409, "Nothing is stored of the object yet.", "pending")
        version = found.current
        return serve(
            request._request,
            version.storage,
            version.key,
            filename=found.name,
            as_attachment=True,
        )


class ContentView(APIView):
    """An object's content by its path: what `curl -T` sends."""

    parser_classes = (StreamParser,)

    @extend_schema(
        request=BODY,
        responses={201: ObjectSerializer},
        parameters=[OpenApiParameter("path", str, OpenApiParameter.PATH)],
    )
    def put(self, request: Request, path: str) -> Response:
        """Store the body as a new object, or as a new version of the one of its name.

        The body is read as it comes, and needs a Content-Length.
        """
        folder, name = names.clean_path(path)
        length = length_of(request)
        with body_of(request) as stream:
            content = IncomingFile(stream, length, request.content_type or UNKNOWN_TYPE)
            return stored(request, content, folder, name)


def stored(request: Request, content: IncomingFile, folder: str, name: str) -> Response:
    """Store the content, and return the response that says so."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101
    there = StoredObject.objects.filter(
        tenant=user.tenant_id, folder=folder, name=name, deleted_at=None
    ).first()
    if there is not None and not access.allows(user, there, Access.EDIT):
        raise ValidationError("The name is taken.")
    version = storing.store(
        content, tenant=user.tenant, user=user, folder=folder, name=name
    )
    data = ObjectSerializer(version.object).data
    return Response(data, status=201)
