"""Bytes without a row, and rows without bytes: found, and mended.

A row is made before its bytes, and goes after them. So what is found here a killed
process left, a restored database does not know yet, or somebody did by other means.
Nothing is locked: whatever is younger than an upload may take is left alone, and each
step looks once more before it changes something. Two sweeps at once do no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.apps import apps
from django.core.files.storage import storages
from django.db.models import Q
from django.utils import timezone

from objects import copies, partwise, quarantine
from objects.defects import Defect, FoundDefect, SweepResult
from objects.keys import PREFIX, read_key
from objects.mending import mend
from objects.models import Copy, Version
from objects.reading import fresh
from objects.storeuse import is_used

logger = logging.getLogger(__name__)
PARTS = "uploads"
"""The directory of what has come of resumable uploads."""


def find(store: str, before: datetime, result: SweepResult) -> Iterator[FoundDefect]:
    """Yield what is wrong in a store, of all that is older than ``before``.

    A directory is in memory at a time, and the names of all of them.
    """
    result.is_used = is_used(store)
    seen = set()
    for directory, names in _walk(storages[store], PREFIX):
        seen.add(directory)
        yield from _compare(store, directory, names, before, result)
    # Rows whose whole directory is gone, or was a field's own.
    for directory in sorted(_directories_of_rows(store) - seen):
        yield from _compare(store, directory, [], before, result)
    yield from _field_copies(store, before)
    yield from _parts(store, before, result)
    yield from _unfinished(store, before)


def _compare(
    store: str, directory: str, names: list[str], before: datetime, result: SweepResult
) -> Iterator[FoundDefect]:
    storage = storages[store]
    keys = {f"{directory}/{name}" for name in names}
    # After the listing: the row of each name that is in it was there before.
    within = Version.objects.filter(store=store, key__startswith=f"{directory}/")
    rows = {
        version.key: version
        for version in within.iterator()
        if version.key.rpartition("/")[0] == directory
    }
    noted = {
        copy.key: copy
        for copy in Copy.objects.filter(store=store, key__startswith=f"{directory}/")
    }
    result.names += len(keys | rows.keys())
    for key in sorted(keys - rows.keys()):
        if not _is_younger(storage, key, before):
            said = read_key(key)
            known = said and Version.objects.filter(pk=said.version_id).first()
            if known and (known.store, known.key) == (store, key):
                continue  # Its row was made, or moved here, meanwhile.
            if known and known.moved_at and known.moved_at >= before:
                continue  # It may be read still.
            if key in noted and noted[key].noted_at >= before:
                continue  # It may be read still, or be written.
            kind = Defect.COPY if known or key in noted else Defect.ORPHAN
            if known and known.key == key:
                # No move made it, for that gives each copy a key of its own. It may be
                # the row's only bytes, where two aliases lead to one place.
                kind = Defect.NAMESAKE
            yield FoundDefect(kind, store, key, known or None, key in noted)
    pending = _dead(store, rows.values(), before)
    for key, version in sorted(rows.items()):
        if version.pk in pending:
            yield FoundDefect(Defect.PENDING, store, key, version)
        elif version.state != Version.State.STORED:
            continue
        elif key not in keys and _is_missing(version):
            yield FoundDefect(Defect.MISSING, store, key, version)
        elif version.missing_since is not None:
            yield FoundDefect(Defect.RETURNED, store, key, version)


def _field_copies(store: str, before: datetime) -> Iterator[FoundDefect]:
    """Yield what was moved elsewhere, of the files that a field had put here.

    Their directories may hold what is not ours, and are not walked.
    """
    old = Copy.objects.filter(store=store, noted_at__lt=before)
    for copy in old.exclude(key__startswith=f"{PREFIX}/"):
        version = Version.objects.filter(pk=copy.version_id).first()
        is_recent = version and version.moved_at and version.moved_at >= before
        with fresh(storages[store], copy.key):
            if not is_recent and storages[store].exists(copy.key):
                yield FoundDefect(Defect.COPY, store, copy.key, version, True)


def _parts(store: str, before: datetime, result: SweepResult) -> Iterator[FoundDefect]:
    """Yield parts of uploads that the database does not know: it was restored."""
    if not apps.is_installed("uploads"):
        return
    storage = storages[store]
    parts = apps.get_model("uploads", "UploadPart").objects
    for directory, names in _walk(storage, PARTS):
        result.names += len(names)
        # After the listing: rows are made before the bytes.
        rows = parts.filter(key__startswith=f"{directory}/")
        known = set(rows.values_list("key", flat=True))
        for key in sorted({f"{directory}/{name}" for name in names} - known):
            if not _is_younger(storage, key, before):
                yield FoundDefect(Defect.PART, store, key)


def _unfinished(store: str, before: datetime) -> Iterator[FoundDefect]:
    """Yield uploads in parts of killed processes: the store keeps what was sent.

    Resumable ones have a row, and end as that does.
    """
    directories = (f"{PREFIX}/", f"{PARTS}/", f"{quarantine.PREFIX}/")
    for key, begun, end in partwise.unfinished(storages[store]):
        if key.startswith(directories) and begun < before and not _goes_on(key):
            yield FoundDefect(Defect.UNFINISHED, store, key, end=end)


def _goes_on(key: str) -> bool:
    if not apps.is_installed("uploads"):
        return False
    uploads = apps.get_model("uploads", "Upload").objects
    return bool(uploads.filter(assembly_key=key).exclude(assembly="").exists())


def _dead(store: str, versions: Any, before: datetime) -> set[Any]:
    """Return the ids of versions that were given up, or nobody works on any more."""
    old = [
        version.pk
        for version in versions
        if version.state == Version.State.GIVEN_UP
        or (version.state == Version.State.PENDING and version.created_at < before)
    ]
    rows = Version.objects.filter(pk__in=old)
    if apps.is_installed("uploads"):
        # Of several requests: they have a lease and a sweep of their own. What was
        # given up may still come, until the upload expires.
        expired = Q(upload__expires_at__lte=timezone.now())
        given_up = Q(state=Version.State.GIVEN_UP)
        rows = rows.filter(Q(upload=None) | given_up & expired)
    return set(rows.values_list("pk", flat=True))


def _is_younger(storage: Any, key: str, before: datetime) -> bool:
    try:
        modified = storage.get_modified_time(key)
    except FileNotFoundError:
        return True  # It went meanwhile.
    if timezone.is_naive(modified):
        modified = timezone.make_aware(modified)
    return bool(modified >= before)


def _is_missing(version: Version) -> bool:
    """Whether the store, asked afresh, has no bytes, and the row still names it."""
    with fresh(version.storage, version.key):
        if version.storage.exists(version.key):
            return False
    rows = Version.objects.filter(pk=version.pk, state=Version.State.STORED)
    return rows.filter(store=version.store, key=version.key).exists()


def _walk(storage: Any, directory: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each directory below, and its files, as the store has them now."""
    try:
        with fresh(storage, directory):
            directories, files = storage.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    if files:
        yield directory, list(files)
    for name in sorted(directories):
        yield from _walk(storage, f"{directory}/{name}")


def _directories_of_rows(store: str) -> set[str]:
    rows = Version.objects.filter(store=store).values_list("key", flat=True)
    # No query is open while a store is waited for: on SQLite nobody else writes then.
    return {key.rpartition("/")[0] for key in rows.order_by().iterator()}


def sweep(store: str, before: datetime, result: SweepResult, *, force: bool) -> bool:
    """Mend what is wrong in a store; return False where too much is, unless forced.

    What can't be done now is logged, counted, and left to the next sweep.
    """
    for found in find(store, before, result):
        result.note(found)
    if result.is_suspicious and not force:
        return False
    for found in find(store, before, SweepResult()):
        try:
            result.done[mend(found)] += 1
        except Exception:
            logger.exception("Nothing could be done about: %s", found.defect)
            result.done["failed"] += 1
    copies.drop_old(store, before)
    return True
