"""What a tenant uses of what it may use."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import user_of
from accounts.models import Tenant
from objects.models import Version


class UsageSerializer(serializers.ModelSerializer[Tenant]):
    """Bytes and objects of a tenant; a limit that is null is none.

    What is used has all versions in it, and what is deleted and not yet gone.
    """

    deleted_bytes = serializers.IntegerField(min_value=0)
    deleted_objects = serializers.IntegerField(min_value=0)

    class Meta:
        model = Tenant
        fields = (
            "used_bytes",
            "reserved_bytes",
            "max_bytes",
            "used_objects",
            "reserved_objects",
            "max_objects",
            "deleted_bytes",
            "deleted_objects",
            "max_versions",
            "undo_days",
        )
        read_only_fields = fields


class UsageView(APIView):
    """The usage of the user's own tenant."""

    @extend_schema(responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        """Return what the tenant uses, and what it may use."""
        tenant: Any = user_of(request).tenant
        deleted = Version.objects.filter(
            object__tenant=tenant,
            object__deleted_at__isnull=False,
            state__in=Version.COUNTED,
        ).aggregate(size=Sum("size"), objects=Count("object", distinct=True))
        tenant.deleted_bytes = deleted["size"] or 0
        tenant.deleted_objects = deleted["objects"]
        return Response(UsageSerializer(tenant).data)
