from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User
from audit.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """To be read only; of the staff's own tenant, unless it is the super-tenant's."""

    list_display = ("at", "action", "actor_name", "target_name", "tenant_id")
    list_filter = ("action", "target_type", "at")
    search_fields = ("actor_name", "target_name", "target_id")
    show_full_result_count = False
    ordering: ClassVar = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        entries: QuerySet[Entry] = super().get_queryset(request)
        user = request.user
        if isinstance(user, User) and not user.is_super_administrator:
            return entries.filter(tenant_id=user.tenant_id)
        return entries

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
