"""Jobs: what is done outside of requests. A row is the truth, whoever works on it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant


class Job(models.Model):
    """Something to be done once, by a worker, outside of requests.

    This app alone changes a row, each time by one conditional UPDATE.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=100)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="jobs",
        verbose_name=_("owner"),
        help_text=_("Empty: the site's own."),
    )
    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        related_name="jobs",
        verbose_name=_("tenant"),
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.WAITING
    )
    # In which order jobs that are due are begun: see `jobs.turns`. One that ended
    # before it was begun has none.
    turn = models.PositiveBigIntegerField(null=True, db_default=0, editable=False)
    priority = models.PositiveSmallIntegerField(db_default=0, editable=False)
    arguments = models.JSONField(_("arguments"), default=dict)
    done = models.PositiveBigIntegerField(_("done"), default=0)
    of = models.PositiveBigIntegerField(
        _("of"), default=0, help_text=_("0 while it is not known.")
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    error = models.TextField(_("error"), blank=True)
    result = models.JSONField(_("result"), null=True)
    cancel_requested = models.BooleanField(_("to be cancelled"), default=False)
    # Whoever works on it has the token, until the lease runs out. See `jobs.leases`.
    token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True)
    due_at = models.DateTimeField(_("not before"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent to the broker"), null=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ("-created_at", "-pk")
        default_permissions = ("view", "change")
        indexes = (
            models.Index(fields=("created_at", "id"), name="job_created"),
            # What workers look for, several times a second: few rows of many.
            models.Index(
                fields=("turn", "priority", "due_at"),
                name="job_turns",
                condition=Q(finished_at__isnull=True),
            ),
            # And what gives a new job its turn.
            models.Index(
                fields=("turn",),
                name="job_begun_turns",
                condition=Q(turn__isnull=False, started_at__isnull=False),
            ),
            models.Index(
                fields=("tenant", "turn"),
                name="job_tenants_turns",
                condition=Q(turn__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.kind

    @property
    def is_ended(self) -> bool:
        """Whether nothing comes any more: it is done, has failed or was cancelled."""
        return self.state not in (self.State.WAITING, self.State.RUNNING)


class Period(models.Model):
    """When a periodic kind's next job is to be made; one UPDATE claims each period."""

    kind = models.CharField(_("kind"), max_length=100, unique=True)
    due_at = models.DateTimeField(_("due"))

    class Meta:
        verbose_name = _("period")
        verbose_name_plural = _("periods")
        default_permissions = ()

    def __str__(self) -> str:
        return self.kind
