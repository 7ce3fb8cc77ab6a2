from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from accounts.access import user_of
from accounts.scoping import OwnTenantAdmin, ReadOnlyAdmin
from audit.actions import Action
from audit.recording import record
from objects.access import Access
from objects.models import (
    DefaultPermission,
    GroupPermission,
    StoredObject,
    UserPermission,
    Version,
)


class GrantAdmin(OwnTenantAdmin):
    """Permissions, by whoever may enter the admin; of their tenant's objects only.

    What the form refuses, a grant across tenants among it, is answered with 400.
    """

    granted: ClassVar[Action] = Action.PERMISSION_GRANT
    revoked: ClassVar[Action] = Action.PERMISSION_REVOKE
    tenant_field: ClassVar[str] = "content_object__tenant"
    tenant_of: ClassVar[dict[str, str | None]] = {
        "content_object": "tenant",
        "user": "tenant",
        "group": "tenantgroup__tenant",
        "permission": None,
    }
    actions = None

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "permission":
            kwargs["queryset"] = Permission.objects.filter(
                content_type__app_label="objects",
                codename__in=[one.value for one in Access],
            )
        elif db_field.name == "group" and db_field.related_model is Group:
            kwargs["queryset"] = Group.objects.exclude(tenantgroup=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # One is taken back, and another granted: both are written down.

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response: HttpResponse = super().render_change_form(
            request, context, *args, **kwargs
        )
        if context.get("errors"):
            response.status_code = 400
        return response

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._record(self.granted, request, obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self._record(self.revoked, request, obj)
            super().delete_model(request, obj)

    def _record(self, action: Action, request: HttpRequest, obj: Any) -> None:
        if isinstance(obj, DefaultPermission):
            target, access = obj, obj.access
        else:
            target, access = obj.content_object, Access(obj.permission.codename).word
        record(
            action,
            target,
            tenant_id=target.tenant_id,
            actor=user_of(request),
            user=getattr(obj, "user_id", None),
            group=getattr(obj, "group_id", None),
            access=access,
        )


@admin.register(UserPermission)
class UserPermissionAdmin(GrantAdmin):
    list_display = ("content_object", "user", "permission")
    list_select_related = ("content_object", "user", "permission__content_type")
    raw_id_fields = ("content_object", "user")


@admin.register(GroupPermission)
class GroupPermissionAdmin(GrantAdmin):
    list_display = ("content_object", "group", "permission")
    list_select_related = ("content_object", "group", "permission__content_type")
    raw_id_fields = ("content_object",)


@admin.register(DefaultPermission)
class DefaultPermissionAdmin(GrantAdmin):
    granted = Action.DEFAULT_GRANT
    revoked = Action.DEFAULT_REVOKE
    tenant_field = "tenant"
    tenant_of: ClassVar = {"tenant": "pk", "user": "tenant", "group": "tenant"}
    list_display = ("tenant", "user", "group", "access")
    list_select_related = ("tenant", "user", "group")
    raw_id_fields = ("user",)


# Django's class takes no type argument at run time.
class VersionInline(admin.TabularInline):  # type: ignore[type-arg]
    """The versions of an object, to be looked at by whoever may look at that."""

    model = Version
    fields = ("number", "state", "size", "sha256", "created_by", "missing_since")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StoredObject)
class StoredObjectAdmin(ReadOnlyAdmin):
    """To be looked up, and named where a permission is granted; no content is here."""

    tenant_field = "tenant"
    tenant_of: ClassVar = {"tenant": "pk", "owner": "tenant", "current": "object"}
    list_display = ("path", "tenant", "owner", "size", "state", "updated_at")
    list_select_related = ("tenant", "owner")
    list_filter = (("deleted_at", admin.EmptyFieldListFilter),)
    search_fields = ("folder", "name", "=id")
    inlines = (VersionInline,)
    # Counting a large tenant's takes longer than the page.
    show_full_result_count = False
