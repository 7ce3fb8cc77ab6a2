"""What the API itself remembers: requests that are done once."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from uploads.processes import has_ended

LONGEST_LEASE = timedelta(minutes=10)


class OnceRequest(models.Model):
    """A request that its user marked by an Idempotency-Key, and its first result.

    It is under way while it has no status. Whoever works on it renews the lease; one
    that has ended is of a killed process, and the next to come takes over: what the
    first does then counts no more. On the same host it is known at once that a process
    has ended.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, verbose_name=_("user")
    )
    key = models.CharField(_("key"), max_length=255)
    request = models.CharField(
        _("hash of the request"),
        max_length=64,
        help_text=_("Of what is known before the body is read."),
    )
    content = models.CharField(_("SHA-256 of the content"), max_length=64, blank=True)
    lease = models.UUIDField(_("holder of the lease"), default=uuid.uuid4)
    lease_ends = models.DateTimeField(_("end of the lease"))
    # The process that has the lease, as `uploads.processes` names it.
    leased_by = models.CharField(
        # A release of before, which does not know the field, still writes rows.
        max_length=100,
        default="",
        db_default="",
        editable=False,
    )
    version = models.UUIDField(
        _("version"),
        null=True,
        help_text=_("That it began, or is about to: of a content."),
    )
    object_id = models.UUIDField(
        _("object"), null=True, db_index=True, help_text=_("That the result names.")
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="+",
        verbose_name=_("person"),
        help_text=_("Whom the result names: it goes with them."),
    )
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    headers = models.JSONField(_("headers"), default=dict)
    body = models.JSONField(_("body"), null=True, encoder=DjangoJSONEncoder)
    # Or when it was done: it is kept for a day from then on.
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("request done once")
        verbose_name_plural = _("requests done once")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("user", "key"), name="one_request_of_key"),
        )
        indexes = (models.Index(fields=("created_at",), name="once_created"),)

    def __str__(self) -> str:
        return self.key

    @property
    def is_leased(self) -> bool:
        """Whether somebody works on it now."""
        now = timezone.now()
        # One of longer was given by a clock that was ahead.
        is_good = now < self.lease_ends <= now + LONGEST_LEASE
        return self.status is None and is_good and not has_ended(self.leased_by)
