"""Bytes without a row, and rows without bytes: found, and mended.

A row is made before its bytes, and goes after them. So what is found here a killed
process left, a restored database does not know yet, or somebody did by other means.
Nothing is locked: whatever is younger than an upload may take is left alone, and each
step looks once more before it changes something. Two sweeps at once do no harm.
"""

from __future__ import annotations

import contextlib
import enum
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.apps import apps
from django.core.files.storage import storages
from django.db.models import Count, Q
from django.utils import timezone

from accounts import stores
from objects import adopting, copies, measuring, moving, partwise, quarantine, storing
from objects.conditions import NONE, Conditions, Unmet
from objects.keys import PREFIX, read_key
from objects.models import Copy, Version
from objects.reading import fresh, hashed, whole

logger = logging.getLogger(__name__)
PARTS = "uploads"
"""The directory of what has come of resumable uploads."""
SHARE = 0.01
"""More than this of all names is suspicious: another store, an empty database."""
MOST_TOLD = 100
"""Keys of missing bytes, of each store."""


class Defect(enum.StrEnum):
    """What is wrong with a name."""

    ORPHAN = "bytes without a row"
    COPY = "bytes that were moved elsewhere"
    MISSING = "row without bytes"
    RETURNED = "bytes that were missing"
    PENDING = "upload of a dead process"
    PART = "part of an upload without a row"
    UNFINISHED = "upload in parts that nobody ends"


@dataclass(frozen=True)
class FoundDefect:
    """One defect, with the row, where there is one."""

    defect: Defect
    store: str
    key: str
    version: Version | None = None
    end: Callable[[], None] | None = None
    """What ends an unfinished upload."""


@dataclass
class SweepResult:
    """What a sweep found, by its finding, and what it did, in words."""

    names: int = 0
    found: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    """The first of the keys of rows without bytes."""

    wrong: int = 0
    """Names that are not as a killed process leaves them."""

    @property
    def is_suspicious(self) -> bool:
        """Whether so much is wrong that somebody should look first."""
        return self.wrong > SHARE * self.names

    def note(self, found: FoundDefect) -> None:
        """Count a defect."""
        self.found[found.defect] += 1
        if found.defect is Defect.MISSING:
            if len(self.missing) < MOST_TOLD:
                self.missing.append(found.key)
            # Once it was told, it stops no later sweep.
            version = found.version
            self.wrong += version is not None and version.missing_since is None
        elif found.defect in (Defect.ORPHAN, Defect.PART):
            self.wrong += 1


def in_unset_stores() -> dict[str, int]:
    """Return how many versions there are in each store that is not set any more."""
    rows = Version.objects.exclude(store__in=stores.aliases()).order_by()
    return dict(rows.values_list("store").annotate(Count("pk")))


def find(store: str, before: datetime, result: SweepResult) -> Iterator[FoundDefect]:
    """Yield what is wrong in a store, of all that is older than ``before``.

    A directory is in memory at a time, and the names of all of them.
    """
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


def mend(found: FoundDefect) -> str:
    """Do about a finding what can be done, and return what that was."""
    storage = storages[found.store]
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
    rows = Version.objects.filter(pk=version.pk, store=found.store)
    if found.defect is Defect.MISSING:
        rows.update(missing_since=timezone.now())
        return "marked"
    if found.defect is Defect.RETURNED:
        if not version.sha256:
            measuring.measure(version)
        rows.update(missing_since=None)
        return "found again"
    return _end(version)


def _mend_copy(found: FoundDefect) -> str:
    """Delete a copy whose version is gone, or has its bytes where its row says."""
    version = found.version
    if version is not None:
        there = Version.objects.filter(pk=version.pk)
        version = there.exclude(store=found.store, key=found.key).first()
        if version is None:
            return "left alone"
        with fresh(version.storage, version.key):
            is_there = version.storage.exists(version.key)
        if not is_there:
            return _name_copy(version, found)
    storages[found.store].delete(found.key)
    Copy.objects.filter(store=found.store, key=found.key).delete()
    return "deleted a copy"


def _name_copy(version: Version, found: FoundDefect) -> str:
    """Let a row whose own bytes are missing name its copy, if that is whole.

    So it is where the database is one from before a move.
    """
    said = (version.size, version.sha256)
    if hashed(storages[found.store], found.key) != said:
        return "left alone"
    is_done = moving.point(version, found.store, found.key)
    return "named a copy" if is_done else "left alone"


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
            yield FoundDefect(kind, store, key, known or None)
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
                yield FoundDefect(Defect.COPY, store, copy.key, version)


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
    rows = Version.objects.filter(pk=version.pk, store=version.store)
    return rows.filter(state=Version.State.STORED).exists()


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
