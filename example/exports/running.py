"""An export is made: streamed into its store, and then the row says that it is ready.

Each attempt has a name of its own in the store, and deletes what earlier ones left. The
row becomes ready by one UPDATE, in a transaction in which the job is still ours. So one
attempt wins, however many there are, and the others delete what they wrote.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from django.conf import settings
from django.db import Error, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import quotas, stores
from accounts.quotas import QuotaExceeded
from audit.actions import Action
from config import locks
from exports import access, removing, sources
from exports.archive import Archive, SourceFailed, TooMany
from exports.models import Export
from exports.sources import Changing, NothingThere, Source
from exports.starting import note
from jobs.kinds import Failed, Work
from objects import access as object_access
from objects import partwise
from tahoestorage.backends.sentparts import part_length
from tahoestorage.verification import PartsDigest

logger = logging.getLogger(__name__)
STATE = Export.State


class NotWhole(OSError):
    """The store does not hold what it was sent."""


def make(export: Export, work: Work) -> Export:
    """Make the archive and return its row, which is ready.

    Raises Failed with what went wrong, for people; Interrupted; and what the store
    raises, after which it is worth to try again. The store has nothing of it then.
    """
    if export.state == STATE.READY:
        return export  # By a worker that was killed before it could say so.
    try:
        source = source_of(export)
        with Archive(sources.Members(source)) as archive:
            export = begin(export, archive.size, len(source.files), work)
            try:
                _send(export, archive, work)
                return _settle(export, archive.sha256, work)
            except BaseException:
                # It is nobody else's, whoever has the job by now: unless it is the
                # export, and the response to the COMMIT was lost. The rest is tidied.
                with contextlib.suppress(Error):
                    won = Export.objects.filter(
                        pk=export.pk, state=STATE.READY, attempts=export.attempts
                    )
                    if not won.exists():
                        removing.delete_key(export, export.attempts)
                # Whatever the store made of it: what could not be read is to be named.
                if archive.source_error is not None:
                    raise archive.source_error from None
                raise
    except (Changing, NothingThere, TooMany, SourceFailed) as error:
        raise Failed(str(error)) from error
    except QuotaExceeded:
        raise Failed(
            _("The tenant has no room for the export. Delete something first.")
        ) from None


def source_of(export: Export) -> Source:
    """Return what is exported, as it is now, and as far as its owner may see it."""
    owner = export.owner
    if owner is None or not object_access.may_anything(owner):
        raise Failed(_("Who started the export may do so no more."))
    if export.kind == Export.Kind.FOLDER:
        seen: Any = object_access.visible(owner).filter(tenant=export.tenant_id)
        return sources.of_folder(seen, export.folder)
    event = access.editable_events(owner).filter(pk=export.event_id or 0).first()
    if event is None:
        raise Failed(_("The event is gone, or who started the export may not edit it."))
    return sources.of_event(event)


def begin(export: Export, size: int, files: int, work: Work) -> Export:
    """Let the row say that a new attempt writes so many bytes, and reserve them."""
    with transaction.atomic():
        work.hold()
        row = locks.locked(Export.objects.filter(pk=export.pk)).get()
        if row.state in (STATE.READY, STATE.GOING):
            raise Failed(_("The export has ended already."))
        quotas.give_back(row.tenant_id, size=row.reserved, objects=0)
        quotas.reserve(row.tenant_id, size=size, objects=0)
        row.state, row.error = STATE.PENDING, ""
        row.attempts, row.is_tidy = row.attempts + 1, False
        row.reserved, row.size, row.files = size, size, files
        row.save()
    for attempt in range(1, row.attempts):
        removing.delete_key(row, attempt)
    return row


def _send(export: Export, archive: Archive, work: Work) -> None:
    storage: Any = stores.storage_of(export.store)
    archive.on_read = lambda: work.progress(archive.taken, archive.size)
    work.progress(0, archive.size)
    if partwise.is_for(storage, archive.size):
        is_whole = _is_sent_in_parts(storage, export.key, archive)
    else:
        is_whole = _is_sent(storage, export.key, archive)
    if not is_whole:
        raise NotWhole("The store does not hold what it was sent.")
    work.check()


def _is_sent_in_parts(storage: Any, key: str, archive: Archive) -> bool:
    """Send the archive, and return whether the store holds just that."""
    try:
        parts = partwise.save(storage, key, archive)
    except FileExistsError as error:
        raise NotWhole("The name in the store was taken.") from error
    digest = PartsDigest(storage, parts, part_length(archive.size), archive.sha256)
    return digest.stored(key) is not None


def _is_sent(storage: Any, key: str, archive: Archive) -> bool:
    """Send the archive, and return whether the store holds just that."""
    digest = archive.digest_for(storage, sample_above=settings.READ_BACK_BYTES)
    with digest.sending():
        if hasattr(storage, "create"):
            stored = storage.create(key, archive, unique=True)
        else:
            stored = storage.save(key, archive)
    if stored != key:
        with contextlib.suppress(Exception):
            storage.delete(stored)
        raise NotWhole("The name in the store was taken.")
    return digest.is_stored(stored)


def _settle(export: Export, sha256: str, work: Work) -> Export:
    with transaction.atomic():
        work.hold()
        work.check()  # Who cancelled it was told that it leaves nothing.
        rows = Export.objects.filter(
            pk=export.pk, state=STATE.PENDING, attempts=export.attempts
        )
        values: dict[str, Any] = {
            "state": STATE.READY,
            "sha256": sha256,
            "ready_at": timezone.now(),
            "is_tidy": export.attempts == 1,
            "reserved": 0,
        }
        if not rows.update(**values):
            raise Failed(_("The export has ended already."))
        quotas.settle(export.tenant_id, size=export.size, objects=0)
        export = Export.objects.select_related("owner", "event").get(pk=export.pk)
        note(
            Action.EXPORT_READY,
            export,
            export.owner,
            size=export.size,
            files=export.files,
            sha256=sha256,
        )
    return export
