"""The audit, for administrators: of their tenant, or of all tenants."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets

from accounts.models import User
from api.permissions import IsAdministrator
from audit.models import Entry


@extend_schema_field(OpenApiTypes.OBJECT)
class DetailsField(serializers.JSONField):
    """An object in JSON."""


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """One thing that was done; ids stay when what they name is gone."""

    details = DetailsField(read_only=True)

    class Meta:
        model = Entry
        fields = (
            "id",
            "at",
            "action",
            "tenant_id",
            "actor_id",
            "actor_name",
            "target_type",
            "target_id",
            "target_name",
            "details",
        )
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(summary="List who did what to which thing, the newest first"),
    retrieve=extend_schema(summary="Show one entry"),
)
class AuditViewSet(viewsets.ReadOnlyModelViewSet[Entry]):
    """Who did what to which thing; of all tenants for the super-tenant's."""

    serializer_class = EntrySerializer
    permission_classes = (IsAdministrator,)
    queryset = Entry.objects.none()
    ordering = "-pk"
    lookup_value_regex = "[0-9]{1,18}"
    filterset_fields: ClassVar = {
        "action": ["exact", "startswith"],
        "tenant_id": ["exact"],
        "actor_id": ["exact"],
        "target_type": ["exact"],
        "target_id": ["exact"],
        "at": ["gte", "lt"],
    }

    def get_queryset(self) -> QuerySet[Entry]:
        user = self.request.user
        entries = Entry.objects.all()
        if not isinstance(user, User):
            return entries.none()
        if user.is_super_administrator:
            return entries
        return entries.filter(tenant_id=user.tenant_id)
