from typing import ClassVar

from django.contrib import admin

from events.models import Event, Session, Speaker


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "starts_at", "place")
    prepopulated_fields: ClassVar = {"slug": ("name",)}


@admin.register(Speaker)
class SpeakerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "event")
    list_filter = ("event",)


@admin.register(Session)
class SessionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("title", "event")
    list_filter = ("event",)
    filter_horizontal = ("speakers",)
