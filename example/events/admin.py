from typing import ClassVar

from django.contrib import admin

from accounts.scoping import OwnTenantAdmin
from events.models import Event, Session, Speaker


@admin.register(Event)
class EventAdmin(OwnTenantAdmin):
    tenant_field = "tenant"
    tenant_of: ClassVar = {"tenant": "pk"}
    list_display = ("name", "starts_at", "place")
    prepopulated_fields: ClassVar = {"slug": ("name",)}


@admin.register(Speaker)
class SpeakerAdmin(OwnTenantAdmin):
    tenant_field = "event__tenant"
    tenant_of: ClassVar = {"event": "tenant"}
    list_display = ("name", "event")
    list_filter = (("event", admin.RelatedOnlyFieldListFilter),)


@admin.register(Session)
class SessionAdmin(OwnTenantAdmin):
    tenant_field = "event__tenant"
    tenant_of: ClassVar = {"event": "tenant", "speakers": "event__tenant"}
    list_display = ("title", "event")
    list_filter = (("event", admin.RelatedOnlyFieldListFilter),)
    filter_horizontal = ("speakers",)
