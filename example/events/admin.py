from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.access import user_of
from accounts.scoping import OwnTenantAdmin
from events import organising
from events.models import Event, Part, Session, Speaker


@admin.register(Event)
class EventAdmin(OwnTenantAdmin):
    tenant_field = "tenant"
    tenant_of: ClassVar = {"tenant": "pk", "owner": "tenant"}
    list_display = ("name", "starts_at", "place", "published")
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    raw_id_fields = ("owner",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any = None
    ) -> tuple[str, ...]:
        """Keep an event in its tenant, to which its files belong."""
        return () if obj is None else ("tenant",)

    def save_model(
        self, request: HttpRequest, obj: Event, form: Any, change: bool
    ) -> None:
        user = user_of(request)
        if change:
            organising.change(obj, user, form.changed_data)
        else:
            organising.create(obj, obj.owner or user)

    def delete_model(self, request: HttpRequest, obj: Event) -> None:
        organising.delete(obj, user_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        for event in queryset:
            organising.delete(event, user_of(request))


class PartAdmin(OwnTenantAdmin):
    """Files are sent in the pages of the event; here they are shown."""

    tenant_field = "event__tenant"
    list_filter = (("event", admin.RelatedOnlyFieldListFilter),)
    readonly_fields = ("file",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any = None
    ) -> tuple[str, ...]:
        """Keep a part in its event, whose tenant its file belongs to."""
        return ("file",) if obj is None else ("file", "event")

    @admin.display(description=_("file"))
    def file(self, part: Any) -> str:
        """A link to the site's own download, which asks who may see the event."""
        found = part.media
        if found is None:
            return "-"
        return format_html('<a href="{}">{}</a>', part.get_media_url(), found.name)

    def delete_model(self, request: HttpRequest, obj: Part) -> None:
        organising.delete_part(obj, user_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for part in queryset:
            organising.delete_part(part, user_of(request))


@admin.register(Speaker)
class SpeakerAdmin(PartAdmin):
    tenant_of: ClassVar = {"event": "tenant"}
    list_display = ("name", "event")


@admin.register(Session)
class SessionAdmin(PartAdmin):
    tenant_of: ClassVar = {"event": "tenant", "speakers": "event__tenant"}
    list_display = ("title", "event")
    filter_horizontal = ("speakers",)
