from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Field, QuerySet
from django.forms import Field as FormField
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.access import user_of
from accounts.scoping import OwnTenantAdmin
from events import organising
from events.forms import StartField, StartForm, start_input
from events.models import Event, Part, Session, Speaker


@admin.register(Event)
class EventAdmin(OwnTenantAdmin):
    tenant_field = "tenant"
    tenant_of: ClassVar = {"tenant": "pk", "owner": "tenant"}
    list_display = ("name", "starts_at", "place", "published")
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    raw_id_fields = ("owner",)
    form = StartForm

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> FormField | None:
        """As in the pages: the admin's two fields lose the time that is there."""
        if db_field.name == "starts_at":
            return db_field.formfield(form_class=StartField, widget=start_input())
        return super().formfield_for_dbfield(db_field, request, **kwargs)

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
