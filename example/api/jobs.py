"""Jobs: how far they are, and cancelling them."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import user_of
from accounts.models import User
from api.problems import Problem
from jobs import control
from jobs.models import Job


@extend_schema_field(OpenApiTypes.OBJECT)
class ResultField(serializers.JSONField):
    """An object in JSON, or null."""


class JobSerializer(serializers.ModelSerializer[Job]):
    """Something that is done outside of requests, and how far it is."""

    result = ResultField(read_only=True, allow_null=True)

    class Meta:
        model = Job
        fields = (
            "id",
            "kind",
            "owner",
            "state",
            "done",
            "of",
            "attempts",
            "error",
            "result",
            "cancel_requested",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(summary="List the jobs, the newest first"),
    retrieve=extend_schema(summary="Show one job"),
)
class JobViewSet(viewsets.ReadOnlyModelViewSet[Job]):
    """One's own jobs; for a tenant's administrators, all of the tenant."""

    serializer_class = JobSerializer
    queryset = Job.objects.none()
    filterset_fields: ClassVar = {
        "kind": ["exact"],
        "owner": ["exact"],
        "state": ["exact"],
    }
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> QuerySet[Job]:
        user = self.request.user
        return control.visible(user) if isinstance(user, User) else Job.objects.none()

    @extend_schema(request=None, responses={200: JobSerializer, 409: None})
    @action(methods=["POST"], detail=True)
    def cancel(self, request: Request, pk: str) -> Response:
        """Have a job end without a result; 409 where it has ended already.

        One that waits is cancelled at once, one that runs within seconds.
        """
        job = self.get_object()
        if not control.cancel(job, actor=user_of(request)):
            raise Problem(409, _("The job has ended already."), "ended")
        job.refresh_from_db()
        return Response(JobSerializer(job).data)
