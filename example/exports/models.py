"""Exports: one row for each that was started."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from events.models import Event
from jobs.models import Job


class Export(models.Model):
    """An archive of a folder or an event: being made, ready, or come to nothing.

    Each attempt of its job writes to a name of its own, so that a worker which comes
    too late spoils nothing. The row counts ``reserved`` bytes of the tenant's quota as
    reserved until it is ready, and its ``size`` as used from then on.
    """

    class Kind(models.TextChoices):
        FOLDER = "folder", _("folder")
        EVENT = "event", _("event")

    class State(models.TextChoices):
        PENDING = "pending", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        GOING = "going", _("going")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="exports", verbose_name=_("tenant")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="exports",
        verbose_name=_("started by"),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    folder = models.CharField(_("folder"), max_length=700, blank=True)
    event = models.ForeignKey(
        Event,
        models.SET_NULL,
        null=True,
        related_name="exports",
        verbose_name=_("event"),
    )
    label = models.CharField(_("name"), max_length=1000)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.PENDING
    )
    job = models.OneToOneField(
        Job,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="export",
        verbose_name=_("job"),
    )
    store = models.CharField(_("store"), max_length=100, editable=False)
    path = models.CharField(max_length=255, editable=False)
    """The name in the store of the first attempt; later ones have a number besides."""
    attempts = models.PositiveIntegerField(_("attempts"), default=0, editable=False)
    files = models.PositiveIntegerField(_("files"), default=0, editable=False)
    size = models.PositiveBigIntegerField(_("bytes"), default=0, editable=False)
    reserved = models.PositiveBigIntegerField(default=0, editable=False)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True, editable=False)
    error = models.TextField(_("error"), blank=True, editable=False)
    site = models.CharField(max_length=200, blank=True, editable=False)
    """The site's address as its owner had it, for the mail."""
    is_pinned = models.BooleanField(
        _("pinned"), default=False, help_text=_("It stays until somebody deletes it.")
    )
    is_tidy = models.BooleanField(default=True, editable=False)
    """Whether the store surely has nothing of it beside what the row names."""
    created_at = models.DateTimeField(_("started"), auto_now_add=True)
    ready_at = models.DateTimeField(_("ready since"), null=True, editable=False)
    going_since = models.DateTimeField(null=True, editable=False)
    """When it became too old, and nobody's any more; null: its bytes go at once."""
    told_at = models.DateTimeField(null=True, editable=False)
    """When its owner saw on a page that it is ready."""

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        ordering = ("-created_at", "-pk")
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=("tenant", "created_at", "id"), name="export_created"),
            models.Index(
                fields=("owner",),
                condition=Q(state="ready", told_at__isnull=True),
                name="export_untold",
            ),
        )

    def __str__(self) -> str:
        return self.label

    def get_absolute_url(self) -> str:
        return reverse("exports:export", args=[self.pk])

    @property
    def key(self) -> str:
        """The name in the store of the last attempt."""
        return self.key_of(self.attempts)

    def key_of(self, attempt: int) -> str:
        """Return the name in the store that an attempt writes, the first being 1."""
        if attempt <= 1:
            return self.path
        path = PurePosixPath(self.path)
        return str(path.with_name(f"{path.stem}-{attempt}{path.suffix}"))

    @property
    def filename(self) -> str:
        """The name under which it is downloaded."""
        return f"{slugify(self.label) or self.kind}-{self.created_at:%Y-%m-%d}.zip"

    @property
    def etag(self) -> str:
        """That of its content, which never changes."""
        return f'"{self.sha256}"'
