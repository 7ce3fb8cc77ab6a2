"""Links by which anybody who has one may download an object."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from objects.models import StoredObject

STATES = ("usable", "revoked", "expired", "used_up")


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    def usable(self) -> ShareLinkQuerySet:
        """Return those that are not revoked, not expired and not used up.

        Only their own columns are asked, so that an UPDATE of these asks them again
        once it has the row.
        """
        return self.filter(
            Q(max_downloads=None) | Q(downloads__lt=F("max_downloads")),
            revoked_at=None,
            expires_at__gt=timezone.now(),
        )


class ShareLink(models.Model):
    """A link to an object's newest version; its token is kept as a hash only.

    It leads to the object as long as its creator is active and administers it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    object = models.ForeignKey(
        StoredObject,
        models.CASCADE,
        related_name="share_links",
        verbose_name=_("object"),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="share_links",
        verbose_name=_("created by"),
    )
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    max_downloads = models.PositiveIntegerField(
        _("downloads at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    downloads = models.PositiveIntegerField(_("downloads"), default=0, editable=False)

    objects = ShareLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("share link")
        verbose_name_plural = _("share links")
        ordering = ("-created_at", "-pk")
        indexes = (
            models.Index(fields=("created_at", "id"), name="share_link_created"),
        )

    def __str__(self) -> str:
        return str(self.object)

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at <= timezone.now():
            return "expired"
        if self.max_downloads is not None and self.downloads >= self.max_downloads:
            return "used_up"
        return "usable"


class EndedLink(models.Model):
    """A link that is gone, with its object or its creator: its token is no guess.

    It says nothing of either, and goes in its time (`links.forget_old`).
    """

    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("ended share link")
        verbose_name_plural = _("ended share links")
        default_permissions = ()

    def __str__(self) -> str:
        return f"ended {self.ended_at:%Y-%m-%d}"
