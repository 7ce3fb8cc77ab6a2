"""Tenants and their groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, cast

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Prefetch, ProtectedError, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access, tenants
from accounts.administrators import slug_for
from accounts.models import Tenant, TenantGroup, User
from api import documented
from api.etags import WithETag
from api.idempotency import makes_once
from api.problems import Problem
from api.users import Visible
from audit.actions import Action
from audit.recording import record
from objects.administering import lock_groups, still_administered

OPERATORS = {"slug", "store", "max_bytes", "max_objects"}
"""What only an administrator of the super-tenant sets."""


@contextlib.contextmanager
def unless_taken(field: str) -> Iterator[None]:
    """A transaction; raises ValidationError where another request took the name."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        message = _("The name is taken.")
        raise serializers.ValidationError({field: [message]}) from None


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    """A customer: its settings, its quotas, and what it uses of them."""

    slug = serializers.SlugField(
        max_length=50, required=False, help_text="Made of the name unless given."
    )

    class Meta:
        model = Tenant
        fields = (
            "id",
            "name",
            "slug",
            "is_super",
            "store",
            "export_store",
            "max_bytes",
            "max_objects",
            "used_bytes",
            "used_objects",
            "max_versions",
            "undo_days",
            "created_at",
        )
        read_only_fields = ("id", "is_super", "used_bytes", "used_objects")

    def validate_slug(self, value: str) -> str:
        same = Tenant.objects.filter(slug=value)
        if self.instance is not None:
            same = same.exclude(pk=self.instance.pk)
        if same.exists():
            raise serializers.ValidationError(_("The short name is taken."))
        return value

    def validate_store(self, value: str) -> str:
        if value not in set(settings.STORAGES) - {"staticfiles"}:
            raise serializers.ValidationError(_("There is no store of that alias."))
        return value


class TenantViewSet(mixins.ListModelMixin, WithETag):
    """The tenants that one administers."""

    serializer_class = TenantSerializer
    queryset = Tenant.objects.none()
    filterset_fields: ClassVar = {"slug": ["exact"], "store": ["exact"]}
    search_fields = ("name", "slug")
    ordering_fields = ("name", "created_at")
    ordering = "name"
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[Tenant]:
        return access.tenants(cast(User, self.request.user))

    @extend_schema(
        responses={201: TenantSerializer}, parameters=[documented.IDEMPOTENCY_KEY]
    )
    @makes_once()
    def create(self, request: Request) -> Response:
        """Make a tenant; for administrators of the super-tenant."""
        me = self.operator()
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        fields.setdefault("slug", slug_for(fields["name"]))
        with unless_taken("name"):
            tenant = Tenant.objects.create(**fields)
            record(Action.TENANT_CREATE, tenant, tenant_id=tenant.pk, actor=me)
        return Response(TenantSerializer(tenant).data, status=201)

    @extend_schema(
        responses={200: TenantSerializer, 412: None}, parameters=[documented.IF_MATCH]
    )
    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change its settings; its quotas and store only as the operator."""
        tenant, me = self.locked(), cast(User, request.user)
        if self.sent() & OPERATORS and not access.operates(me):
            raise PermissionDenied(_("Quotas and the store are the operator's to set."))
        given = self.get_serializer(tenant, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        if fields := given.validated_data:
            with unless_taken("name"):
                tenants.change(tenant, by=me, **fields)
        return self.shown(self.get_object())

    @extend_schema(
        responses={204: None, 409: None, 412: None}, parameters=[documented.IF_MATCH]
    )
    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a tenant that has no users and no objects left, else 409."""
        tenant, me = self.locked(to_delete=True), self.operator()
        try:
            with transaction.atomic():
                record(Action.TENANT_DELETE, tenant, tenant_id=tenant.pk, actor=me)
                tenant.delete()
        except ProtectedError:
            detail = _("The tenant has users, objects or events.")
            raise Problem(409, detail, "not_empty") from None
        return Response(status=204)

    def operator(self) -> User:
        """Return the caller; 403 unless an administrator of the super-tenant."""
        me = cast(User, self.request.user)
        if not access.operates(me):
            raise PermissionDenied
        return me


class GroupSerializer(serializers.ModelSerializer[TenantGroup]):
    """A group of a tenant's users."""

    name = serializers.CharField(source="label", max_length=100)
    tenant = Visible(
        access.tenants,
        queryset=Tenant.objects.none(),
        required=False,
        help_text="The caller's own unless given; it stays.",
    )
    members = Visible(
        access.users,
        queryset=User.objects.none(),
        many=True,
        source="user_set",
        required=False,
        help_text="Users of the group's tenant.",
    )

    class Meta:
        model = TenantGroup
        fields = ("id", "name", "tenant", "members")
        validators: ClassVar[list[Any]] = []


class GroupViewSet(mixins.ListModelMixin, WithETag):
    """The groups of the tenants that one administers."""

    serializer_class = GroupSerializer
    queryset = TenantGroup.objects.none()
    filterset_fields: ClassVar = {"tenant": ["exact"]}
    search_fields = ("label",)
    ordering_fields = ("label",)
    ordering = "label"
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[TenantGroup]:
        rows = access.groups(cast(User, self.request.user))
        # In one order always: the ETag is of them.
        members = Prefetch("user_set", queryset=User.objects.order_by("pk"))
        return rows.prefetch_related(members)

    @extend_schema(
        responses={201: GroupSerializer}, parameters=[documented.IDEMPOTENCY_KEY]
    )
    @makes_once()
    def create(self, request: Request) -> Response:
        """Make a group."""
        me = cast(User, request.user)
        if not access.administers(me):
            raise PermissionDenied
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        group = TenantGroup(
            label=fields["label"], tenant=fields.get("tenant", me.tenant)
        )
        self.save(group, fields, Action.GROUP_CREATE)
        return Response(GroupSerializer(group).data, status=201)

    @extend_schema(
        responses={200: GroupSerializer, 409: None, 412: None},
        parameters=[documented.IF_MATCH],
    )
    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change its name, or who is in it; 409 where nobody would administer a row."""
        group = self.locked()
        given = self.get_serializer(group, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        if fields.get("tenant", group.tenant) != group.tenant:
            message = _("A group stays with its tenant.")
            raise serializers.ValidationError({"tenant": [message]})
        group.label = fields.get("label", group.label)
        self.save(group, fields, Action.GROUP_CHANGE)
        return self.shown(self.get_object())

    @extend_schema(
        responses={204: None, 409: None, 412: None}, parameters=[documented.IF_MATCH]
    )
    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a group, and what was granted to it; 409 as where all leave it."""
        group = self.locked()
        me = cast(User, request.user)
        with still_administered(group.tenant_id):
            group.user_set.clear()
        record(Action.GROUP_DELETE, group, tenant_id=group.tenant_id, actor=me)
        group.delete()
        return Response(status=204)

    def row_locked(self, *, to_delete: bool = False) -> TenantGroup:
        """Return the group, locked with the tenant's others, in their order."""
        lock_groups(self.get_object().tenant_id)
        return cast(TenantGroup, self.get_object())

    def save(self, group: TenantGroup, fields: dict[str, Any], act: Action) -> None:
        """Save it with its members; raises ValidationError, and changes nothing."""
        me = cast(User, self.request.user)
        with unless_taken("name"):
            group.name = f"{group.tenant_id}/{group.label}"
            group.validate_constraints()
            group.save()
            if "user_set" in fields:
                with still_administered(group.tenant_id):
                    group.user_set.set(fields["user_set"])
            record(act, group, tenant_id=group.tenant_id, actor=me)
