from typing import ClassVar

from django.contrib import admin

from accounts.scoping import ReadOnlyAdmin
from audit.models import Entry


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """To be read only; of the staff's own tenant, unless it is the super-tenant's."""

    tenant_field = "tenant_id"
    list_display = ("at", "action", "actor_name", "target_name", "tenant_id")
    list_filter = ("action", "target_type", "at")
    search_fields = ("actor_name", "target_name", "target_id")
    show_full_result_count = False
    ordering: ClassVar = ["-id"]
