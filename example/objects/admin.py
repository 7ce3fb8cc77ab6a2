from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest, HttpResponse

from accounts.access import user_of
from accounts.scoping import OwnTenantAdmin, ReadOnlyAdmin, RefusingAdmin
from objects import grants
from objects.access import Access
from objects.models import (
    DefaultPermission,
    GroupPermission,
    StoredObject,
    UserPermission,
    Version,
)


class GrantAdmin(RefusingAdmin, OwnTenantAdmin):
    """Permissions, by whoever may enter the admin; of their tenant's objects only.

    What the form refuses, a grant across tenants among it, is answered with 400.
    """

    held_by: ClassVar[str] = "user"
    """The field with whom it is granted to."""
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
        holder, actor = self._holder(obj), user_of(request)
        access = Access(obj.permission.codename)
        grants.grant(obj.content_object, holder, access, actor=actor)
        made = self.model.objects.get(
            **{name: getattr(obj, name) for name in ("content_object", self.held_by)}
        )
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        holder = self._holder(obj)
        grants.revoke(obj.content_object, holder, actor=user_of(request))

    def _holder(self, obj: Any) -> grants.Holder:
        return obj.user if self.held_by == "user" else obj.group.tenantgroup

    def log_addition(self, *args: Any) -> Any:
        """Write nothing: the audit does, and forgets the names of who is erased."""

    def log_deletions(self, *args: Any) -> Any:
        """Write nothing, as above."""


@admin.register(UserPermission)
class UserPermissionAdmin(GrantAdmin):
    list_display = ("content_object", "user", "permission")
    list_select_related = ("content_object", "user", "permission__content_type")
    raw_id_fields = ("content_object", "user")


@admin.register(GroupPermission)
class GroupPermissionAdmin(GrantAdmin):
    held_by = "group"
    list_display = ("content_object", "group", "permission")
    list_select_related = ("content_object", "group", "permission__content_type")
    raw_id_fields = ("content_object",)


@admin.register(DefaultPermission)
class DefaultPermissionAdmin(GrantAdmin):
    tenant_field = "tenant"
    tenant_of: ClassVar = {"tenant": "pk", "user": "tenant", "group": "tenant"}
    list_display = ("tenant", "user", "group", "access")
    list_select_related = ("tenant", "user", "group")
    raw_id_fields = ("user",)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        made = grants.grant_by_default(
            obj.tenant_id,
            obj.user or obj.group,
            Access.of_word(obj.access),
            actor=user_of(request),
        )
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        grants.revoke_default(obj, actor=user_of(request))


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
