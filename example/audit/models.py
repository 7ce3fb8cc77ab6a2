"""Who did what to which thing, when. Entries are added, and never changed."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

ERASED = "erased"
"""What stands for a name that was erased; the number beside it is the pseudonym."""


class AppendOnly(TypeError):
    """Somebody tried to change or to delete an entry."""


class EntryQuerySet(models.QuerySet["Entry"]):
    """Reads and adds; whatever else raises AppendOnly."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("Entries of the audit are neither changed nor deleted.")

    update = bulk_update = delete = update_or_create = _refuse

    def erase_actor(self) -> None:
        """Put ERASED in the place of the actors' names."""
        super().update(actor_name=ERASED)

    def erase_target(self) -> None:
        """Put ERASED in the place of the targets' names, and drop the details."""
        super().update(target_name=ERASED, details={})


class Entry(models.Model):
    """One thing that was done.

    It refers to rows by plain numbers, since it outlives them. PostgreSQL refuses to
    change, delete and truncate (migration 0002), but for names that are erased; with
    another database, this class does.
    """

    at = models.DateTimeField(_("time"), default=timezone.now)
    action = models.CharField(_("action"), max_length=40)
    tenant_id = models.BigIntegerField(_("tenant"), null=True)
    actor_id = models.BigIntegerField(
        _("user"), null=True, help_text=_("Empty: nobody who logged in, or a command.")
    )
    actor_name = models.CharField(_("user's name"), max_length=150, blank=True)
    target_type = models.CharField(_("kind of thing"), max_length=40)
    target_id = models.CharField(_("thing"), max_length=40)
    target_name = models.CharField(_("thing's name"), max_length=1000, blank=True)
    details = models.JSONField(_("details"), default=dict)

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        ordering = ("-id",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=("tenant_id", "id"), name="entry_tenant"),
            models.Index(
                fields=("target_type", "target_id", "id"), name="entry_target"
            ),
            models.Index(fields=("actor_id", "id"), name="entry_actor"),
            models.Index(fields=("at",), name="entry_at"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.target_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the entry; raises AppendOnly where it is there already."""
        if not self._state.adding:
            raise AppendOnly("An entry of the audit is not changed.")
        super().save(*args, force_insert=True)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: raises AppendOnly."""
        raise AppendOnly("An entry of the audit is not deleted.")
