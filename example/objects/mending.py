"""What is done about a defect that a sweep found, after one more look."""

from __future__ import annotations

import contextlib

from django.core.files.storage import storages
from django.utils import timezone

from objects import adopting, measuring, moving, quarantine, storing
from objects.conditions import NONE, Conditions, Unmet
from objects.defects import Defect, FoundDefect
from objects.models import Copy, Version
from objects.reading import fresh, hashed, whole
from objects.storeuse import is_used

LEFT = "left alone"


def mend(found: FoundDefect) -> str:
    """Do about a finding what can be done, and return what that was."""
    storage = storages[found.store]
    if found.defect is Defect.NAMESAKE:
        return LEFT
    if found.defect in (Defect.ORPHAN, Defect.PART) and not is_used(found.store):
        return LEFT
    if found.defect is Defect.ORPHAN:
        if adopting.adopt(found.store, found.key):
            return "made a row"
        quarantine.put(storage, found.key)
        return "put into quarantine"
    if found.defect is Defect.PART:
        quarantine.put(storage, found.key)
        return "put into quarantine"
    if found.end is not None:
        found.end()
        return "ended"
    version = found.version
    if found.defect is Defect.COPY or version is None:
        return _mend_copy(found)
    # Within the same sweep a row may have come to name another key.
    rows = Version.objects.filter(pk=version.pk, store=found.store, key=found.key)
    if found.defect is Defect.MISSING:
        rows.update(missing_since=timezone.now())
        return "marked"
    if found.defect is Defect.RETURNED:
        if not version.sha256:
            measuring.measure(version)
        rows.update(missing_since=None)
        return "found again"
    return _end(version) if rows.exists() else LEFT


def _mend_copy(found: FoundDefect) -> str:
    """Delete a copy whose version is gone, or has its bytes where its row says."""
    if found.version is not None:
        version = Version.objects.filter(pk=found.version.pk).first()
        if version is None or version.key == found.key:
            return LEFT
        with fresh(version.storage, version.key):
            is_there = version.storage.exists(version.key)
        if not is_there:
            if version.state == Version.State.PENDING:
                return _name_end(version, found)
            return _name_copy(version, found)
    if not found.is_noted and not is_used(found.store):
        return LEFT
    storages[found.store].delete(found.key)
    Copy.objects.filter(store=found.store, key=found.key).delete()
    return "deleted a copy"


def _name_copy(version: Version, found: FoundDefect) -> str:
    """Let a row whose own bytes are missing name its copy, if that is whole.

    So it is where the database is one from before a move.
    """
    said = (version.size, version.sha256)
    if hashed(storages[found.store], found.key) != said:
        return LEFT
    is_done = moving.point(version, found.store, found.key)
    return "named a copy" if is_done else LEFT


def _name_end(version: Version, found: FoundDefect) -> str:
    """Let a pending row name what its upload in parts ended with, under another key.

    So it is where the database is one from before that end. What other tries left is
    noted. Whoever settles it looks at the bytes.
    """
    size = storages[found.store].size(found.key)
    if found.is_noted or (found.store, size) != (version.store, version.size):
        return LEFT
    rows = Version.objects.filter(pk=version.pk, state=Version.State.PENDING)
    named = rows.filter(key=version.key).update(key=found.key, sha256="")
    return "named a copy" if named else LEFT


def _end(version: Version) -> str:
    """Settle a pending version whose bytes are whole, or give it up.

    Whole bytes may have been acknowledged: a database from before that was restored,
    and says nothing of their hash yet. So those of a refused user stay for a while,
    unless the object was deleted, or erased. So do those that had a condition, unless
    nothing is stored of the object: which content it was about is not known any more.
    """
    first = Conditions(none_match=("*",))
    conditions = first if version.is_conditional else NONE
    with contextlib.suppress(FileNotFoundError):
        if version.state == Version.State.PENDING and (sha256 := whole(version)):
            try:
                storing.check_author(version)
                storing.settle(version, sha256, conditions=conditions)
            except (storing.Refused, Unmet):
                if version.object.deleted_at is None:
                    quarantine.put(version.storage, version.key)
            except (storing.NotStored, storing.Deleted):
                pass
            else:
                return "settled"
    storing.abandon(version)
    return "given up"
