"""An event, who speaks there, and what is said. The files are on the default storage.

Names spread over directories by event: a directory of a grid is read and written
as a whole, so small directories are quick ones.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from django.db import models
from django.urls import reverse

from accounts.models import Tenant
from events.fields import PhotoField, SlidesField


def photo_name(speaker: Speaker, filename: str) -> str:
    return f"events/{speaker.event.slug}/photos/{filename}"


def slides_name(session: Session, filename: str) -> str:
    return f"events/{session.event.slug}/slides/{filename}"


class Event(models.Model):
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="events")
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    starts_at = models.DateTimeField()
    place = models.CharField(max_length=200)
    description = models.TextField(blank=True)

    class Meta:
        ordering = ("starts_at", "name")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("events:event", args=[self.slug])


class Speaker(models.Model):
    event = models.ForeignKey(Event, models.CASCADE, related_name="speakers")
    name = models.CharField(max_length=200)
    photo = PhotoField(upload_to=photo_name, max_length=255)

    # Filled by the event's page from what the store says; never in the database.
    public_url: str | None = None

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{self.event.get_absolute_url()}#speaker-{self.pk}"


class Session(models.Model):
    event = models.ForeignKey(Event, models.CASCADE, related_name="sessions")
    title = models.CharField(max_length=200)
    speakers = models.ManyToManyField(Speaker, blank=True, related_name="sessions")
    slides = SlidesField(
        upload_to=slides_name, max_length=255, help_text="Any kind of file."
    )

    # As above.
    slides_size: int | None = None
    public_url: str | None = None

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return f"{self.event.get_absolute_url()}#session-{self.pk}"

    @property
    def slides_filename(self) -> str:
        return PurePosixPath(self.slides.name or "").name
