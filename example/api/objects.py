"""The objects of a tenant: list, create, look at, rename and move, delete and undo."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, parsers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import quotas
from accounts.access import user_of
from api import contents, documented
from api.bodies import check_size, has_body, length_of, limit
from api.filters import Filters, IdFilterSet, NormalFilter, NormalSearch
from api.idempotency import was_done
from api.parsers import JSONParser, MultiPartParser
from api.serializers import (
    ListParametersSerializer,
    NewObjectSerializer,
    ObjectSerializer,
    RenamingSerializer,
    shown,
)
from objects import access, changing, finding, mediatypes, names
from objects.access import Access
from objects.conditions import Conditions, object_etag
from objects.incoming import IncomingFile
from objects.models import StoredObject

FORM = 64 << 10  # bytes; what a form has beside its file: names, headers, boundaries


class ObjectFilter(IdFilterSet):
    """What a list of objects may be limited to."""

    folder = NormalFilter()
    name = NormalFilter()
    folder__startswith = NormalFilter(method="in_folders")

    class Meta:
        model = StoredObject
        fields: ClassVar = {
            "folder": ["exact"],
            "name": ["exact"],
            "size": ["gte", "lte"],
            "content_type": ["exact"],
            "sha256": ["exact"],
            "created_at": ["gte", "lt"],
            "updated_at": ["gte", "lt"],
            "owner": ["exact"],
        }

    def in_folders(
        self, objects: QuerySet[StoredObject], _name: str, start: str
    ) -> QuerySet[StoredObject]:
        return objects.filter(finding.starts_with(start))


class ObjectViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[StoredObject]):
    """The objects that one may see."""

    serializer_class = ObjectSerializer
    queryset = StoredObject.objects.none()
    parser_classes = (JSONParser,)
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    filter_backends = (Filters, NormalSearch)
    filterset_class = ObjectFilter
    search_fields = ("name", "folder")
    ordering_fields = ("name", "size", "created_at", "updated_at")

    def get_queryset(self) -> QuerySet[StoredObject]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        wanted = self._list_parameters()
        objects = access.visible(self.request.user).filter(
            deleted_at__isnull=not wanted["deleted"]
        )
        return objects.select_related("current")

    def _list_parameters(self) -> dict[str, Any]:
        given = ListParametersSerializer(data=self.request.query_params)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        if self.action == "list" and not getattr(self, "swagger_fake_view", False):
            context["links"] = self._list_parameters()["links"]
        return context

    def get_parsers(self) -> list[parsers.BaseParser]:
        # The action itself is not known yet.
        actions = getattr(self, "action_map", None) or {}
        if self.request and actions.get(self.request.method.lower()) == "create":
            return [MultiPartParser()]
        return super().get_parsers()

    @extend_schema(parameters=[ListParametersSerializer])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List objects page by page; filters, search and order are parameters."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        request={"multipart/form-data": NewObjectSerializer},
        responses={201: ObjectSerializer} | documented.REPLACING,
        parameters=[documented.IF_NONE_MATCH, documented.IDEMPOTENCY_KEY],
    )
    def create(self, request: Request) -> Response:
        """Store a file as a new object, or as a new version of the one of its name."""
        if has_body(request):
            least = length_of(request, beside=FORM) - FORM
            # What was stored already takes no more room.
            if least > 0 and not was_done(request):
                quotas.check_room(user_of(request).tenant_id, least)
        given = NewObjectSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        file, folder = given.validated_data["file"], given.validated_data["folder"]
        name = given.validated_data.get("name") or names.clean_name(file.name or "")
        check_size(file.size, limit())
        kind = mediatypes.of_part(file) if file.content_type else mediatypes.UNKNOWN
        content = IncomingFile(file, file.size, contents.clean_type(kind))
        return contents.put_by_name(request, content, folder, name, always_created=True)

    @extend_schema(
        responses={200: ObjectSerializer, 304: None, 412: None},
        parameters=[documented.IF_NONE_MATCH],
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return an object's metadata."""
        found = access.find(request.user, pk)
        etag = object_etag(found)
        if Conditions.of(request.headers).known(etag):
            return Response(status=304, headers={"ETag": etag})
        return shown(found)

    @extend_schema(
        request=RenamingSerializer,
        responses={200: ObjectSerializer, 409: None, 412: None},
        parameters=[documented.IF_MATCH],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename the object, or move it to another folder."""
        access.find(request.user, pk, Access.EDIT)
        given = RenamingSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = changing.rename(
            pk,
            actor=user_of(request),
            conditions=Conditions.of(request.headers),
            **given.validated_data,
        )
        return shown(changed)

    @extend_schema(responses={204: None, 412: None}, parameters=[documented.IF_MATCH])
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the object; for the tenant's time it can be restored, and counts."""
        access.find(request.user, pk, Access.EDIT)
        conditions = Conditions.of(request.headers)
        changing.delete(pk, actor=user_of(request), conditions=conditions)
        return Response(status=204)

    @extend_schema(
        request=None,
        responses={200: ObjectSerializer, 409: None, 412: None},
        parameters=[documented.IF_MATCH],
    )
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Undo the object's deletion."""
        access.find(request.user, pk, Access.EDIT, deleted=True)
        conditions = Conditions.of(request.headers)
        actor = user_of(request)
        return shown(changing.undelete(pk, actor=actor, conditions=conditions))
