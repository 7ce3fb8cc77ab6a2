"""Users of a tenant, and oneself as `me`."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.relations import MANY_RELATION_KWARGS
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access, passwords, people
from accounts.models import Tenant, TenantGroup, User
from accounts.tokens import revoke_tokens
from api import documented
from api.etags import WithETag
from api.idempotency import makes_once
from api.problems import Problem

OWN = {"first_name", "last_name", "time_zone"}
"""What anybody may change of themselves."""


MOST_ROWS = 1_000
"""Numbers in one list at most."""


@extend_schema_field(
    {"type": "array", "items": {"type": "integer"}, "maxItems": MOST_ROWS}
)
class VisibleRows(serializers.ManyRelatedField):
    """Numbers of rows, ``MOST_ROWS`` at most, looked up together."""

    child_relation: Visible

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if len(data) > MOST_ROWS:
            message = _("At most %(count)s at once.") % {"count": MOST_ROWS}
            raise serializers.ValidationError(message, "max_length")
        child = self.child_relation
        numbers = [child.number(one) for one in data]
        rows = child.get_queryset().in_bulk(list(dict.fromkeys(numbers)))
        for number in numbers:
            if number not in rows:
                child.fail("does_not_exist", pk_value=number)
        return list(rows.values())


class Visible(serializers.PrimaryKeyRelatedField):
    """A row's number; of one that the caller may not see it says there is none."""

    def __init__(self, rows: Any = None, **options: Any) -> None:
        self.rows = rows
        super().__init__(**options)

    @classmethod
    def many_init(cls, *args: Any, **options: Any) -> VisibleRows:
        of_list = {
            name: value
            for name, value in options.items()
            if name in MANY_RELATION_KWARGS
        }
        return VisibleRows(child_relation=cls(*args, **options), **of_list)

    def get_queryset(self) -> Any:
        if self.read_only:
            return None
        request = self.context.get("request")
        return self.rows(request.user) if request else self.queryset

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except OverflowError:  # SQLite's, of a number that no row can have.
            self.fail("does_not_exist", pk_value=data)

    def number(self, data: Any) -> int:
        """Return a row's number; raises ValidationError for what can be none."""
        try:
            number = int(data) if isinstance(data, int | str) else None
        except ValueError:
            number = None
        if number is None or isinstance(data, bool):
            raise self._error("incorrect_type", data_type=type(data).__name__)
        if abs(number) >= 1 << 63:
            raise self._error("does_not_exist", pk_value=number)
        return number

    def _error(self, code: str, **of: Any) -> serializers.ValidationError:
        return serializers.ValidationError(self.error_messages[code].format(**of), code)


class UserSerializer(serializers.ModelSerializer[User]):
    """Somebody who belongs to a tenant."""

    tenant_name = serializers.CharField(source="tenant.name", read_only=True)
    groups = Visible(
        access.groups,
        queryset=TenantGroup.objects.none(),
        many=True,
        required=False,
        help_text="Groups of the user's tenant.",
    )

    class Meta:
        model = User
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "username",
            "email",
            "first_name",
            "last_name",
            "tenant",
            "tenant_name",
            "groups",
            "is_administrator",
            "is_active",
            "time_zone",
            "date_joined",
            "last_login",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = (
            "id",
            "tenant",
            "date_joined",
            "last_login",
        )


class InvitationSerializer(UserSerializer):
    """Somebody to be invited, to the caller's own tenant unless one is named."""

    tenant = Visible(
        access.tenants,
        queryset=Tenant.objects.none(),
        required=False,
        help_text="The caller's own unless given.",
    )
    email = serializers.EmailField(max_length=254, help_text="The link goes there.")

    class Meta(UserSerializer.Meta):
        fields = (
            "username",
            "email",
            "first_name",
            "last_name",
            "tenant",
            "groups",
            "is_administrator",
            "time_zone",
        )
        read_only_fields = ()


class InvitedSerializer(UserSerializer):
    """A user who was invited."""

    job = serializers.UUIDField(help_text="It is done once the mail is sent.")

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "job")


class MailStartedSerializer(serializers.Serializer[Any]):
    """The job that sends a mail; it is done once that is sent."""

    job = serializers.UUIDField()


ID = OpenApiParameter(
    "id", OpenApiTypes.STR, OpenApiParameter.PATH, pattern=r"^(me|[0-9]{1,18})$"
)


@extend_schema_view(retrieve=extend_schema(parameters=[ID]))
class UserViewSet(mixins.ListModelMixin, WithETag):
    """The users whom one may see: an administrator the tenant's, others themselves."""

    serializer_class = UserSerializer
    queryset = User.objects.none()
    filterset_fields: ClassVar = {
        "tenant": ["exact"],
        "is_active": ["exact"],
        "is_administrator": ["exact"],
        "groups": ["exact"],
    }
    search_fields = ("username", "email", "first_name", "last_name")
    ordering_fields = ("username", "date_joined")
    ordering = "username"
    lookup_value_regex = "me|[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[User]:
        rows = access.users(cast(User, self.request.user))
        groups = Group.objects.exclude(tenantgroup=None).order_by("pk")
        return rows.select_related("tenant").prefetch_related(
            Prefetch("groups", queryset=groups)
        )

    def get_object(self) -> User:
        if self.kwargs["pk"] == "me":
            self.kwargs["pk"] = self.request.user.pk
        return cast(User, super().get_object())

    @extend_schema(
        request=InvitationSerializer,
        responses={201: InvitedSerializer},
        parameters=[documented.IDEMPOTENCY_KEY],
    )
    @makes_once(person="id")
    @transaction.atomic
    def create(self, request: Request) -> Response:
        """Invite somebody: make the user, whom a job sends a link to set a password."""
        me = cast(User, request.user)
        if not access.administers(me):
            raise PermissionDenied
        given = InvitationSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        fields: dict[str, Any] = dict(given.validated_data)
        tenant = fields.pop("tenant", me.tenant)
        user = people.invite(by=me, tenant=tenant, **fields)
        job = passwords.send_link(user, request, by=me)
        shown = UserSerializer(user).data | {"job": str(job.pk)}
        return Response(shown, status=201)

    @extend_schema(
        parameters=[ID, documented.IF_MATCH],
        request=UserSerializer(partial=True),
        responses={200: UserSerializer, 409: None, 412: None},
    )
    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a user.

        Who is no administrator changes the own first and last name and time zone only.
        """
        user = self.locked()
        me = cast(User, request.user)
        if not access.administers(me) and self.sent() - OWN:
            raise PermissionDenied
        given = self.get_serializer(user, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        people.change(user, by=me, **given.validated_data)
        return self.shown(self.get_object())

    @extend_schema(
        parameters=[ID, documented.IF_MATCH], responses={204: None, 412: None}
    )
    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Deactivate a user: refused from now on, with all tokens. Objects stay."""
        self.administered()
        self.locked()
        # Anew: the caller may be no administrator any more.
        people.deactivate(self.administered(), by=cast(User, request.user))
        return Response(status=204)

    @extend_schema(
        parameters=[ID],
        request=None,
        responses={202: MailStartedSerializer, 409: None},
    )
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def invitation(self, request: Request, pk: str) -> Response:
        """Have another link to set a password sent to the user."""
        user = self.administered()
        if not (user.is_active and user.email):
            raise Problem(409, _("The user is inactive or has no mail."), "no_mail")
        me = cast(User, request.user)
        people.record_invitation(user, by=me)
        job = passwords.send_link(user, request, by=me)
        return Response({"job": str(job.pk)}, status=202)

    @extend_schema(parameters=[ID], request=None, responses={204: None})
    @action(detail=True, methods=["post"], url_path="revoke-tokens")
    def revoke_tokens(self, request: Request, pk: str) -> Response:
        """Refuse all tokens that the user was given until now."""
        user = self.get_object()
        revoke_tokens(user, by=cast(User, request.user))
        return Response(status=204)

    def row_locked(self, *, to_delete: bool = False) -> User:
        """Return the user, locked; the caller too, who is as they are now from then on.

        Raises PermissionDenied where the caller may not change the user any more.
        """
        me = cast(User, self.request.user)
        self.request.user = people.lock(self.get_object(), by=me)
        return self.get_object()

    def administered(self) -> User:
        """Return the user; 404 for whom one may not see, 403 for oneself alone."""
        user = self.get_object()
        if not access.administers(cast(User, self.request.user)):
            raise PermissionDenied
        return user
