"""What the API itself remembers: requests that are done once."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _


class OnceRequest(models.Model):
    """A request that its user marked by an Idempotency-Key, and its first result.

    It is under way while it has no status. Whoever works on it renews the lease; one
    that has ended is of a killed process, and the next to come takes over: what the
    first does then counts no more.
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
