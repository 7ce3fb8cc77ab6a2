"""An event of a tenant, who speaks there, and what is said.

Photos and slides are objects of the tenant, so quotas, versions, the audit, moves and
backups know them like any other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from objects.models import GroupGrant, StoredObject, UserGrant, Version

FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Between them every database and every time zone can tell a time."""


def check_time(value: datetime) -> None:
    """Raise ValidationError for a time, with its zone, that no event is at."""
    if not FIRST <= value <= LAST:
        raise ValidationError(_("No event is at that time."))


class Event(models.Model):
    """What a tenant holds on one day; ``access`` says who may see and change it.

    One that is published anybody may see, with its photos and slides. Its address, made
    of its first name, stays.
    """

    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="events", verbose_name=_("tenant")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="events_owned",
        verbose_name=_("owner"),
    )
    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("address"), unique=True)
    starts_at = models.DateTimeField(_("beginning"))
    place = models.CharField(_("place"), max_length=200)
    description = models.TextField(_("description"), blank=True)
    published = models.BooleanField(
        _("published"),
        default=False,
        help_text=_("Anybody may see its page, its photos and its slides."),
    )

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("starts_at", "name", "pk")
        permissions = (
            ("edit_event", "Can change the event, its speakers and sessions"),
            ("administer_event", "Can grant permissions on the event"),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.starts_at is not None:
            try:
                check_time(self.starts_at)
            except ValidationError as error:
                raise ValidationError({"starts_at": error.messages}) from None

    def get_absolute_url(self) -> str:
        return reverse("events:event", args=[self.slug])


class EventUserPermission(UserGrant):
    """A permission on one event, granted to a user of its tenant."""

    content_object = models.ForeignKey(Event, models.CASCADE)

    class Meta(UserGrant.Meta):
        verbose_name = _("permission of a user on an event")
        verbose_name_plural = _("permissions of users on events")


class EventGroupPermission(GroupGrant):
    """A permission on one event, granted to a group of its tenant."""

    content_object = models.ForeignKey(Event, models.CASCADE)

    class Meta(GroupGrant.Meta):
        verbose_name = _("permission of a group on an event")
        verbose_name_plural = _("permissions of groups on events")


class Part(models.Model):
    """What an event is made of, in an order, each with one file at most."""

    event: Any
    position = models.PositiveIntegerField(_("position"), default=0, editable=False)

    media_name: ClassVar[str]
    """What its file is called, in addresses and forms."""
    media_field: ClassVar[str]
    """The field that leads to the file."""
    folder: ClassVar[str]
    """Of the event's folder, the one for these files."""

    class Meta:
        abstract = True
        ordering = ("position", "pk")

    def get_absolute_url(self) -> str:
        """Return where it is listed, in the page of the event."""
        kind = self._meta.model_name
        return f"{self.event.get_absolute_url()}#{kind}-{self.pk}"

    def get_media_url(self) -> str:
        """Return the address of the file in this site."""
        return reverse(f"events:{self.media_name}", args=[self.pk])

    def get_edit_url(self) -> str:
        """Return the address of the form."""
        return self._url("edit")

    def get_upload_url(self) -> str:
        """Return where a script begins to send the file."""
        return self._url("upload")

    def _url(self, what: str) -> str:
        kind = self._meta.model_name
        return reverse(f"events:{what}-{kind}s", args=[self.event.slug, self.pk])

    @classmethod
    def rows(cls) -> models.QuerySet[Any]:
        """Return all speakers, or all sessions, of all events."""
        return cls._default_manager.all()

    @property
    def media(self) -> StoredObject | None:
        """The file, where there is one that is stored and was not deleted."""
        found: StoredObject | None = getattr(self, self.media_field)
        return found if found is not None and found.state == "stored" else None


class Speaker(Part):
    """Somebody who speaks at an event."""

    event = models.ForeignKey(
        Event, models.CASCADE, related_name="speakers", verbose_name=_("event")
    )
    name = models.CharField(_("name"), max_length=200)
    photo_object = models.ForeignKey(
        StoredObject,
        # A purge may delete it for good; the speaker stays, without a photo.
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("photo"),
    )

    media_name = "photo"
    media_field = "photo_object"
    folder = "photos"

    class Meta(Part.Meta):
        verbose_name = _("speaker")
        verbose_name_plural = _("speakers")

    def __str__(self) -> str:
        return self.name

    def get_thumbnail_url(self) -> str:
        """Return the address of the small picture, another one for another photo."""
        photo = self.photo_object
        version = "" if photo is None else photo.current_id
        return f"{reverse('events:thumbnail', args=[self.pk])}?v={version}"


class Session(Part):
    """What is said at an event, by whom, with slides."""

    event = models.ForeignKey(
        Event, models.CASCADE, related_name="sessions", verbose_name=_("event")
    )
    title = models.CharField(_("title"), max_length=200)
    speakers = models.ManyToManyField(
        Speaker, blank=True, related_name="sessions", verbose_name=_("speakers")
    )
    slides_object = models.ForeignKey(
        StoredObject,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("slides"),
    )

    media_name = "slides"
    media_field = "slides_object"
    folder = "slides"

    class Meta(Part.Meta):
        verbose_name = _("session")
        verbose_name_plural = _("sessions")

    def __str__(self) -> str:
        return self.title


class Arrival(models.Model):
    """A file on its way to an event in several requests; see `events.arriving`.

    The row goes with the version: as soon as the event has the file, or the upload is
    given up.
    """

    version = models.OneToOneField(Version, models.CASCADE, related_name="+")
    event = models.ForeignKey(
        # Where that is deleted meanwhile, the upload is refused.
        Event,
        models.SET_NULL,
        null=True,
        related_name="+",
    )
    kind = models.CharField(max_length=10, editable=False)
    """The model of the speaker or the session."""
    part_id = models.PositiveBigIntegerField(
        null=True, editable=False, help_text=_("Empty: a new one is made.")
    )

    name = models.CharField(max_length=255, editable=False)
    """Under which the file was sent."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} of {self.event}"
