from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from accounts.scoping import OwnTenantAdmin
from audit.models import Entry


@admin.register(Entry)
class EntryAdmin(OwnTenantAdmin):
    """To be read only; of the staff's own tenant, unless it is the super-tenant's."""

    tenant_field = "tenant_id"
    list_display = ("at", "action", "actor_name", "target_name", "tenant_id")
    list_filter = ("action", "target_type", "at")
    search_fields = ("actor_name", "target_name", "target_id")
    show_full_result_count = False
    ordering: ClassVar = ["-id"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
