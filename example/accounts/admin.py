"""The admin of tenants, users and groups, each administrator's own ones.

The operator's administrators are superusers and see all; a tenant's, where they are
staff, see their tenant. Nobody else does, whatever Django's permissions say.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import access, passwords, people
from accounts.models import Tenant, TenantGroup, User
from accounts.scoping import RefusingAdmin
from accounts.tenants import ExportStoreForm
from audit.actions import Action
from audit.recording import record
from objects.administering import still_administered

# Groups are a tenant's here. The import above has registered Django's.
if isinstance(admin.site.get_model_admin(Group), GroupAdmin):
    admin.site.unregister(Group)

OPERATORS = ("slug", "store", "max_bytes", "max_objects")
USED = ("is_super", "used_bytes", "used_objects")


class Scoped(RefusingAdmin):
    """Rows that the administrator may see; ``rows`` says which."""

    actions: Any = None

    def rows(self, user: Any) -> QuerySet[Any]:
        raise NotImplementedError

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        ordering = self.get_ordering(request)
        return self.rows(request.user).order_by(*ordering)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return access.administers(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and not self.rows(request.user).filter(pk=obj.pk).exists():
            return False
        return access.administers(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.administers(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request, obj)

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "tenant":
            kwargs["queryset"] = access.tenants(request.user)
            kwargs["initial"] = getattr(request.user, "tenant_id", None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Tenant)
class TenantAdmin(Scoped):
    """A tenant's settings; its quotas and its store are the operator's to set."""

    form = ExportStoreForm
    list_display = ("name", "slug", "store", "used_bytes", "used_objects", "is_super")
    search_fields = ("name", "slug")
    ordering = ("name",)
    fields = ("name", "export_store", "max_versions", "undo_days", *OPERATORS, *USED)

    def rows(self, user: Any) -> QuerySet[Tenant]:
        return access.tenants(user)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return USED if access.operates(request.user) else (*OPERATORS, *USED)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.operates(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.operates(request.user)

    def save_model(
        self, request: HttpRequest, obj: Tenant, form: Any, change: bool
    ) -> None:
        # What is used may have changed since the row was read: it is left alone.
        obj.save(update_fields=form.changed_data if change else None)
        action = Action.TENANT_CHANGE if change else Action.TENANT_CREATE
        record(action, obj, tenant_id=obj.pk, actor=request.user)


# Django's class takes no type argument at run time.
class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    """A user's fields. A group of another tenant is refused."""

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        tenant = given.get("tenant") or getattr(self.instance, "tenant", None)
        groups = given.get("groups") or ()
        if any(group.tenantgroup.tenant != tenant for group in groups):
            error = ValidationError(_("A group has users of its own tenant only."))
            self.add_error("groups", error)
        return given


@admin.register(User)
class UserAdmin(Scoped):
    """Users are invited, changed and deactivated, as by the API."""

    form = UserForm
    list_display = ("username", "email", "tenant", "is_administrator", "is_active")
    list_filter = ("is_active", "is_administrator")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    filter_horizontal = ("groups",)
    actions = ("send_links",)
    NAMES = ("username", "email", "first_name", "last_name")

    def rows(self, user: Any) -> QuerySet[User]:
        return access.users(user).select_related("tenant")

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields: tuple[str, ...] = (*self.NAMES, "tenant", "groups", "is_administrator")
        fields = (*fields, "time_zone")
        if obj is None:
            return fields
        fields = (*fields, "is_active", "last_login", "date_joined")
        if access.operates(request.user):
            fields = (*fields, "is_staff")
        return fields

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> tuple[str, ...]:
        if obj is None:
            return ()
        fixed = ("tenant", "last_login", "date_joined")
        if obj.pk == request.user.pk:
            return (*fixed, "is_active", "is_administrator", "is_staff")
        return fixed

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "groups":
            rows = access.groups(request.user)
            groups = Group.objects.filter(tenantgroup__in=rows)
            kwargs["queryset"] = groups.select_related("tenantgroup__tenant")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # Deactivated here; `manage.py erase_user` is for good.

    def save_model(
        self, request: HttpRequest, obj: User, form: Any, change: bool
    ) -> None:
        given: dict[str, Any] = {
            name: form.cleaned_data[name] for name in form.changed_data
        }
        by = access.user_of(request)
        if change:
            by = people.lock(obj, by=by)
            if not access.administers(by):
                raise PermissionDenied
            people.change(User.objects.get(pk=obj.pk), by=by, **given)
            return
        made = people.invite(by=by, **({"tenant": by.tenant} | given))
        obj.pk, obj._state.adding = made.pk, False
        if made.email:
            self.send_link(request, made)

    def save_related(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the groups are saved with the rest."""

    @admin.action(description=_("Send a link to set a password"), permissions=["view"])
    def send_links(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users.filter(is_active=True).exclude(email=""):
            self.send_link(request, user)

    def send_link(self, request: HttpRequest, user: User) -> None:
        """Have it sent, and say so."""
        passwords.send_link(user, request, by=access.user_of(request))
        self.message_user(request, _("A link will be sent to %s.") % user.email)


# Django's class takes no type argument at run time.
class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    """A group's name, which its tenant has once."""

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        tenant = given.get("tenant") or getattr(self.instance, "tenant", None)
        same = TenantGroup.objects.filter(tenant=tenant, label=given.get("label"))
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error("label", _("There is a group of the name already."))
        return given


@admin.register(TenantGroup)
class TenantGroupAdmin(Scoped):
    """Groups; who is in one is said on the user's page."""

    form = GroupForm
    list_display = ("label", "tenant")
    search_fields = ("label",)
    ordering = ("label", "pk")
    fields = ("label", "tenant")

    def rows(self, user: Any) -> QuerySet[TenantGroup]:
        return access.groups(user).select_related("tenant")

    def get_readonly_fields(
        self, request: HttpRequest, obj: TenantGroup | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else ("tenant",)

    def save_model(
        self, request: HttpRequest, obj: TenantGroup, form: Any, change: bool
    ) -> None:
        obj.save()
        action = Action.GROUP_CHANGE if change else Action.GROUP_CREATE
        record(action, obj, tenant_id=obj.tenant_id, actor=request.user)

    def delete_model(self, request: HttpRequest, obj: TenantGroup) -> None:
        action = Action.GROUP_DELETE
        with still_administered(obj.tenant_id):
            obj.user_set.clear()
        record(action, obj, tenant_id=obj.tenant_id, actor=request.user)
        obj.delete()
