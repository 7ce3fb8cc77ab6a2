"""Which exports are kept, and until when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Case, F, Q, QuerySet, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from exports import removing
from exports.models import Export

STATE = Export.State


@dataclass
class DeletedExports:
    """What was deleted; of how many more exports something was left that is gone now.

    The bytes of those that are ``left`` go another time.
    """

    exports: int = 0
    bytes: int = 0
    tidied: int = 0
    left: int = 0


def expiry(export: Export) -> datetime | None:
    """Return until when it stays at least; None where it does not go by itself."""
    if export.is_pinned or export.ready_at is None:
        return None
    return export.ready_at + timedelta(days=settings.EXPORT_KEEP_DAYS)


def old(now: datetime | None = None) -> QuerySet[Export]:
    """Return those that are too old: not pinned, and not among the latest of theirs.

    Those of an event belong together, and those of a folder by one person. What came
    to nothing is kept for as long, to be seen.
    """
    before = (now or timezone.now()) - timedelta(days=settings.EXPORT_KEEP_DAYS)
    is_folder = Q(kind=Export.Kind.FOLDER)
    ranked = Export.objects.filter(state=STATE.READY).annotate(
        rank=Window(
            RowNumber(),
            partition_by=[
                F("tenant"),
                F("kind"),
                F("event"),
                F("folder"),
                Case(When(is_folder, then=F("owner"))),
                # The event is gone, but not its name.
                Case(When(event=None, then=F("label"))),
            ],
            order_by=[F("ready_at").desc(), F("pk").desc()],
        )
    )
    beyond = ranked.filter(rank__gt=settings.EXPORT_KEEP_LATEST)
    failed = Q(state__in=(STATE.FAILED, STATE.CANCELLED), created_at__lt=before)
    ready = Q(pk__in=beyond.values("pk"), ready_at__lt=before)
    found = Export.objects.filter(failed | ready, is_pinned=False)
    return found.order_by("created_at", "pk")


def delete_old(
    tell: Callable[[Export], None] = lambda export: None,
    on_each: Callable[[], None] = lambda: None,
) -> DeletedExports:
    """Delete those that are too old, and what was left of others; tell of each.

    What ``on_each`` raises ends it.

    What became the latest of its event meanwhile, or was pinned, is left alone. The
    bytes stay for those who are reading them: a run an hour later deletes them.
    """
    deleted = DeletedExports()
    for export in list(old()):
        on_each()
        now = timezone.now()
        if not removing.mark(export, actor=None, among=old(), going_since=now):
            continue
        tell(export)
        deleted.exports += 1
        deleted.bytes += export.size if export.ready_at else 0
    deleted.tidied, deleted.left = removing.tidy(on_each)
    return deleted


def kept_in(alias: str) -> QuerySet[Export]:
    """Return the exports of a store, but those that are being made."""
    found = Export.objects.filter(store=alias).exclude(state=STATE.PENDING)
    return found.order_by("created_at", "pk")


def being_made_in(alias: str) -> QuerySet[Export]:
    """Return the exports that are being made in a store."""
    return Export.objects.filter(store=alias, state=STATE.PENDING)


def forget_store(
    alias: str, tell: Callable[[Export], None] = lambda export: None
) -> DeletedExports:
    """Let the exports of a store be gone, pinned ones too; tell of each.

    For a store that is not set any more: it is not asked, and what it has stays there.
    """
    forgotten = DeletedExports()
    for export in list(kept_in(alias)):
        # Deleted before, it is in the audit already.
        if export.state != STATE.GOING and not removing.mark(export, actor=None):
            continue
        removing.forget(export)
        tell(export)
        forgotten.exports += 1
        forgotten.bytes += export.size if export.ready_at else 0
    return forgotten
