"""Exports of folders and events: started, watched, fetched, deleted, imported."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NoReturn

from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import user_of
from api import documented
from api.idempotency import makes_once
from api.problems import Problem, as_problem
from api.serializers import cleaned
from exports import access, downloads, importing, removing, retention, starting
from exports.models import Export
from objects import access as object_access
from objects import names


class ExportSerializer(serializers.ModelSerializer[Export]):
    """An export, and how far it is."""

    state = serializers.ChoiceField(
        ("pending", "ready", "failed", "cancelled"), read_only=True
    )
    kind = serializers.ChoiceField(("folder", "event"), read_only=True)
    event = serializers.SlugField(
        source="event.slug", read_only=True, default=None, allow_null=True
    )
    done = serializers.IntegerField(
        source="job.done", read_only=True, default=0, help_text="Bytes so far."
    )
    expires_at = serializers.SerializerMethodField(
        help_text="It stays until then at least; null: until somebody deletes it."
    )

    class Meta:
        model = Export
        fields = (
            "id",
            "kind",
            "folder",
            "event",
            "label",
            "state",
            "done",
            "size",
            "files",
            "sha256",
            "error",
            "is_pinned",
            "owner",
            "created_at",
            "ready_at",
            "expires_at",
        )
        read_only_fields = fields

    def get_expires_at(self, found: Export) -> datetime | None:
        return retention.expiry(found)


class NewExportSerializer(serializers.Serializer[Any]):
    """What is to be exported: a folder, "" being all, or an event; one of them."""

    folder = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False
    )
    event = serializers.SlugField(required=False, help_text="Its short name.")

    def validate_folder(self, value: str) -> str:
        return cleaned(names.clean_folder, value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(
                _("Name a folder or an event, and one of them only.")
            )
        return attrs


class PinSerializer(serializers.Serializer[Any]):
    """Whether an export is to stay however old it becomes."""

    is_pinned = serializers.BooleanField()


class ImportSerializer(serializers.Serializer[Any]):
    """The archive: an object, or an export; one of them."""

    object = serializers.UUIDField(required=False)
    export = serializers.UUIDField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(
                _("Name an object or an export, and one of them only.")
            )
        return attrs


class ImportStartedSerializer(serializers.Serializer[Any]):
    """The job that imports; its result says where to."""

    job = serializers.UUIDField()


class ExportViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Export]
):
    """The exports that one may fetch."""

    serializer_class = ExportSerializer
    queryset = Export.objects.none()
    filterset_fields: ClassVar = {"kind": ["exact"], "state": ["exact"]}
    search_fields = ("label",)
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Refuse nobody who downloads an archive: it is of the kind that it is."""
        force = force or self.action == "content"
        return super().perform_content_negotiation(request, force=force)

    def get_queryset(self) -> QuerySet[Export]:
        return access.visible(self.request.user).select_related("job", "event")

    @extend_schema(
        request=NewExportSerializer,
        responses={201: ExportSerializer, 404: None},
        parameters=[documented.IDEMPOTENCY_KEY],
    )
    @makes_once()
    def create(self, request: Request) -> Response:
        """Start an export; a job makes it."""
        given = NewExportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user, said = user_of(request), given.validated_data
        site = request.build_absolute_uri("/")
        if "folder" in said:
            export = starting.start_folder(user, said["folder"], site=site)
        else:
            events = access.editable_events(user)
            event = events.filter(slug=said["event"]).first()
            if event is None:
                raise Http404
            export = starting.start_event(user, event, site=site)
        location = reverse("api:export-detail", args=[export.pk])
        return Response(
            ExportSerializer(export).data, status=201, headers={"Location": location}
        )

    @extend_schema(responses={204: None, 409: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the export; one that is being made is cancelled first, else 409."""
        if not removing.delete(access.find(request.user, pk), actor=user_of(request)):
            self.refuse(_("It is being made: cancel it first."))
        return Response(status=204)

    @extend_schema(request=None, responses={200: ExportSerializer, 409: None})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Let it not be made; 409 where it has ended already."""
        export = access.find(request.user, pk)
        if not starting.cancel(export, actor=user_of(request)):
            self.refuse(_("It has ended already."))
        return Response(ExportSerializer(access.find(request.user, pk)).data)

    @extend_schema(request=PinSerializer, responses={200: ExportSerializer})
    @action(detail=True, methods=["post"])
    def pin(self, request: Request, pk: str) -> Response:
        """Let it stay however old it becomes, or not any more."""
        export = access.find(request.user, pk)
        given = PinSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        is_pinned = given.validated_data["is_pinned"]
        starting.pin(export, is_pinned, actor=user_of(request))
        return Response(ExportSerializer(access.find(request.user, pk)).data)

    @extend_schema(
        responses=documented.DOWNLOAD, parameters=documented.DOWNLOAD_PARAMETERS
    )
    @action(detail=True, methods=["get"])
    def content(self, request: Request, pk: str) -> HttpResponseBase:
        """Download the archive; ranges and conditions are honoured."""
        export = access.find(request.user, pk)
        if export.state != Export.State.READY:
            self.refuse(_("It is not ready."))
        user = user_of(request)
        try:
            response = downloads.opened(request._request, export, user)
        except downloads.BytesMissing as error:
            raise Problem(500, str(error), "missing") from None
        return as_problem(response)

    @extend_schema(
        request=ImportSerializer,
        responses={202: ImportStartedSerializer, 404: None, 409: None},
        parameters=[documented.IDEMPOTENCY_KEY],
    )
    @action(detail=False, methods=["post"], url_path="import")
    @makes_once()
    def import_(self, request: Request) -> Response:
        """Start an import of an archive as a new folder or a new event.

        A job does it, and says what was wrong with the archive.
        """
        given = ImportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user, said = user_of(request), given.validated_data
        thing: Any
        if "export" in said:
            thing = access.find(user, said["export"])
            if thing.state != Export.State.READY:
                self.refuse(_("It is not ready."))
        else:
            thing = object_access.find(user, said["object"])
        job = importing.start_import(user, thing)
        return Response({"job": job.pk}, status=202)

    def refuse(self, detail: str) -> NoReturn:
        raise Problem(409, detail, "wrong_state")
