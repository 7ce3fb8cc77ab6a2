"""Permissions: on an object, and those that a tenant's new objects begin with."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import user_of
from accounts.models import User
from api import documented
from api.idempotency import makes_once
from objects import access, grants
from objects.access import WORDS, Access
from objects.grants import Holder
from objects.models import DefaultPermission, StoredObject


class HolderSerializer(serializers.Serializer[Any]):
    """A user or a group, one of them, and what they may do."""

    user = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    group = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    access = serializers.ChoiceField(choices=WORDS)

    def holder(self, tenant_id: int) -> Holder:
        """Return who it is; raises ValidationError where the tenant has none such."""
        given = self.validated_data
        return grants.holder_of(
            tenant_id, user=given.get("user"), group=given.get("group")
        )


class GrantSerializer(serializers.Serializer[Any]):
    """What a user or a group may do to an object; the other of the two is null."""

    user = serializers.SerializerMethodField()
    group = serializers.SerializerMethodField()
    name = serializers.CharField()
    access = serializers.ChoiceField(choices=WORDS, source="access.word")

    def get_user(self, grant: grants.Grant) -> int | None:
        return None if grant.is_group else grant.holder_id

    def get_group(self, grant: grants.Grant) -> int | None:
        return grant.holder_id if grant.is_group else None


class PermissionsView(APIView):
    """What users and groups may do to an object."""

    @extend_schema(responses=GrantSerializer(many=True))
    def get(self, request: Request, pk: Any) -> Response:
        """List them; only for who administers the object."""
        found = administered(request, pk)
        return Response(GrantSerializer(grants.grants(found), many=True).data)

    @extend_schema(
        request=HolderSerializer, responses={200: GrantSerializer, 409: None}
    )
    def post(self, request: Request, pk: Any) -> Response:
        """Let a user or a group of the object's tenant view, edit or administer it.

        It takes the place of what they had.
        """
        found = administered(request, pk)
        given = HolderSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = grants.grant(
            found,
            given.holder(found.tenant_id),
            Access.of_word(given.validated_data["access"]),
            actor=user_of(request),
        )
        return Response(GrantSerializer(made).data)


class PermissionView(APIView):
    """What one user or one group may do to an object."""

    kind = "user"

    @extend_schema(responses={204: None, 409: None})
    def delete(self, request: Request, pk: Any, holder: int) -> Response:
        """Take it back; 409 where nobody would administer the object any more."""
        found = administered(request, pk)
        try:
            who = grants.holder_of(found.tenant_id, **{self.kind: holder})
        except ValidationError:
            raise Http404 from None
        if not grants.revoke(found, who, actor=user_of(request)):
            raise Http404
        return Response(status=204)


class IsAdministrator(BasePermission):
    """An administrator of a tenant; others are told so, whatever they ask for."""

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        return isinstance(user, User) and user.is_active and user.is_administrator


class DefaultSerializer(serializers.ModelSerializer[DefaultPermission]):
    """What a user or a group may do to objects that are made from now on."""

    tenant = serializers.IntegerField(
        required=False,
        source="tenant_id",
        help_text="One's own unless given; only the super-tenant's may give another.",
    )
    user = serializers.IntegerField(required=False, allow_null=True, source="user_id")
    group = serializers.IntegerField(required=False, allow_null=True, source="group_id")

    class Meta:
        model = DefaultPermission
        fields = ("id", "tenant", "user", "group", "access")
        validators = ()


@extend_schema_view(
    list=extend_schema(summary="List a tenant's defaults"),
    create=extend_schema(parameters=[documented.IDEMPOTENCY_KEY]),
    destroy=extend_schema(summary="Take one back; objects keep what they have"),
)
class DefaultViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[DefaultPermission],
):
    """What new objects of a tenant begin with, beside their creator's permission."""

    serializer_class = DefaultSerializer
    permission_classes = (IsAdministrator,)
    queryset = DefaultPermission.objects.none()
    filter_backends = ()
    ordering = "pk"
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[DefaultPermission]:
        user = self.request.user
        everything = DefaultPermission.objects.all()
        if not isinstance(user, User):
            return everything.none()
        if user.is_super_administrator:
            return everything
        return everything.filter(tenant=user.tenant_id)

    @makes_once()
    def create(self, request: Request) -> Response:
        """Let a user or a group have that access to objects made from now on."""
        return super().create(request)

    def perform_create(self, serializer: Any) -> None:
        user, given = user_of(self.request), serializer.validated_data
        tenant_id = given.get("tenant_id") or user.tenant_id
        if tenant_id != user.tenant_id and not user.is_super_administrator:
            raise PermissionDenied
        holder = grants.holder_of(
            tenant_id, user=given.get("user_id"), group=given.get("group_id")
        )
        serializer.instance = grants.grant_by_default(
            tenant_id, holder, Access.of_word(given["access"]), actor=user
        )

    def perform_destroy(self, instance: DefaultPermission) -> None:
        grants.revoke_default(instance, actor=user_of(self.request))


def administered(request: Request, pk: Any) -> StoredObject:
    """Return an object that the user administers; 404 and 403 as ``access.find``."""
    return access.find(request.user, pk, Access.ADMINISTER)
