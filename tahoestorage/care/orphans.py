"""Compares a store with the database: files of nobody, and names without a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import SuspiciousOperation

from tahoestorage.care.namedfiles import inside_of, named_files, other_stores
from tahoestorage.care.orphantable import ListedFile, OrphanTable, endings
from tahoestorage.display import LISTED, reason
from tahoestorage.moving.disk import Disk
from tahoestorage.moving.names import BadName, NoFile
from tahoestorage.moving.store import OtherStore, Stat, Store
from tahoestorage.redaction import redact

DAY = 86400.0
READ_AGAIN = 1000
READ_AGAIN_SECONDS = 60.0
"""After so many deletions or seconds the names in the database are read again."""
_BEFORE, _AFTER, _OPTIONAL = 1, 2, 4


class NothingNamed(Exception):
    """The database names no file of the store: it may be another one's."""


class NamedElsewhere(Exception):
    """Files of the store may have names of another root on a grid, and which."""


@dataclass
class OrphanCounts:
    """What was found and done. Lists have the first names; ``young`` files are none.

    ``odd`` are files of which no name could be asked for, ``foreign`` those below other
    storages or behind links. ``failures`` are pairs of a name and a reason.
    """

    files: int = 0
    named: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    young: int = 0
    ageless: int = 0
    """Files that nothing names, and of which the store does not say how old they are;
    they are never deleted."""
    odd: int = 0
    foreign: int = 0
    missing: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    kept: int = 0
    """Orphans that were not deleted: named or changed by now, or in no report."""
    failed: int = 0
    orphan_names: list[str] = field(default_factory=list)
    ageless_names: list[str] = field(default_factory=list)
    missing_names: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def fail(self, name: str, why: str) -> None:
        """Count what could not be looked at, or not be deleted."""
        self.failed += 1
        if len(self.failures) < LISTED:
            self.failures.append((name, why))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, with secrets left out."""
        lists = ("orphan_names", "ageless_names", "missing_names", "failures")
        document = {key: v for key, v in vars(self).items() if key not in lists}
        for key in ("orphan_names", "ageless_names"):
            document[key] = [redact(name) for name in getattr(self, key)]
        document["missing_names"] = [
            {"name": redact(name), "by": by} for name, by in self.missing_names
        ]
        document["failures"] = [
            {"name": redact(name), "reason": why} for name, why in self.failures
        ]
        return document


class OrphanSearch:
    """Searches a store, once. A file is an orphan that was modified before ``before``.

    ``before`` is in seconds since 1970; ``looked`` is called with a number of names.
    """

    def __init__(
        self,
        store: Store,
        table: OrphanTable,
        *,
        before: float,
        looked: Callable[[int], None],
    ) -> None:
        self._store = store
        self._table = table
        self._before = before
        self._looked = looked
        self._unlisted: list[str] = []
        # A disk, or a store of others, may not tell cases and normal forms apart.
        self._folds = isinstance(store, Disk) or type(store) is Store
        self.counts = OrphanCounts()

    def find(self) -> None:
        """Compare. Names are read before the store is, and once more after.

        So whatever is saved, deleted or named meanwhile is neither an orphan nor
        missing. Raises what ``named_files`` does; what can't be listed is counted.
        """
        counts = self.counts
        self._read_names(_BEFORE)
        self._table.add_files(self._listed())
        self._read_names(_AFTER)
        for each in self._table.orphans():
            if each.modified is None:
                self._table.set_times(each := self._asked(each))
            if each.modified is None:
                counts.ageless += 1
                if len(counts.ageless_names) < LISTED:
                    counts.ageless_names.append(each.name)
            elif each.modified >= self._before:
                counts.young += 1
            else:
                counts.orphans += 1
                counts.orphan_bytes += each.size or 0
                if len(counts.orphan_names) < LISTED:
                    counts.orphan_names.append(each.name)
        for key, name, by in self._table.missing(_BEFORE | _AFTER):
            # Behind a link to elsewhere it is not known.
            is_here = key.startswith(self._store.base())
            if is_here and not key.startswith(tuple(self._unlisted)):
                self._miss(name, by)

    def old_orphans(self) -> Iterator[str]:
        """Yield the names of all orphans that were found."""
        for each in self._table.orphans():
            if self._is_old(each):
                yield each.name

    def delete(self, reported: Iterator[str]) -> None:
        """Delete the orphans that are ``reported`` too, each after another look.

        Raises NothingNamed, and NamedElsewhere, before anything is deleted.
        """
        if not self.counts.named:
            raise NothingNamed
        if (place := inside_of(self._store)) is not None:
            raise NamedElsewhere(
                f"in another storage on a grid {place!r} is the root of this store, or "
                "can't be listed: names of that storage may lead here"
            )
        self._table.add_reported(reported)
        tried, read_at = 0, -READ_AGAIN_SECONDS
        for each in self._table.orphans(reported=True):
            if self._is_old(each):
                waited = time.monotonic() - read_at
                if tried % READ_AGAIN == 0 or waited >= READ_AGAIN_SECONDS:
                    self._read_names(_AFTER)
                    read_at = time.monotonic()
                tried += 1
                try:
                    self._delete(each)
                except Exception as error:
                    self.counts.fail(each.name, reason(error))
                self._looked(1)
        self.counts.kept += self.counts.orphans - tried

    def _delete(self, each: ListedFile) -> None:
        counts, store = self.counts, self._store
        stat = None if self._table.is_named(each.key) else store.look_again(each.name)
        if stat is None or not each.is_still(_listed_file(each.key, each.name, stat)):
            counts.kept += 1
            return
        store.delete(each.name)
        counts.deleted += 1
        counts.deleted_bytes += each.size or 0

    def _is_old(self, each: ListedFile) -> bool:
        return each.modified is not None and each.modified < self._before

    def _read_names(self, bit: int) -> None:
        base = self._store.base()

        def names() -> Iterator[tuple[str, str, str, int]]:
            for name, key, by, required, below, sure in named_files(self._store):
                if bit == _BEFORE:
                    self._looked(1)
                    # Others are elsewhere in this realm, or nobody knows where.
                    is_here = sure and key is not None and key.startswith(base)
                    self.counts.named += is_here
                if below and not name.strip("/"):
                    # All of it.
                    self._table.add_below(base.rstrip("/"))
                elif below and key is not None:
                    self._table.add_below(key)
                elif key is not None:
                    if not sure:
                        self._table.add_spared(endings(key))
                    elif self._folds:
                        self._table.add_spared([f"/{key}"])
                    yield key, name, by, bit if required else _OPTIONAL
                elif required and bit == _BEFORE:
                    self._miss(name, by)

        self._table.add_named(names())

    def _miss(self, name: str, by: str) -> None:
        self.counts.missing += 1
        if len(self.counts.missing_names) < LISTED:
            self.counts.missing_names.append((name, by))

    def _listed(self) -> Iterator[ListedFile]:
        counts, store = self.counts, self._store
        base = store.base()
        others, places = other_stores(store)
        for other in others:
            self._table.add_below(other.rstrip("/"))
        for found in store.walk_once(places):
            self._looked(1)
            if isinstance(found.error, NoFile):
                continue
            if isinstance(found.error, OtherStore):
                counts.foreign += 1
                self._unlisted.append(self._prefix(found.name))
                continue
            counts.files += found.error is None
            if isinstance(found.error, BadName):
                counts.odd += 1
            elif found.error is not None:
                self._unlisted.append(self._prefix(found.name))
                counts.fail(found.name, reason(found.error))
            else:
                key = store.key(found.name)
                if store.refuses(found.name) is not None:
                    # By its name another file would be deleted.
                    counts.odd += 1
                    self._table.add_named([(key, found.name, "", _OPTIONAL)])
                is_here = key.startswith(base)
                counts.foreign += not is_here or key.startswith(tuple(others))
                if is_here:
                    yield _listed_file(key, found.name, found.stat)

    def _prefix(self, directory: str) -> str:
        """Return what the keys of all that is in a directory begin with."""
        with contextlib.suppress(SuspiciousOperation, ValueError):
            if directory:
                return f"{self._store.key(directory.rstrip('/'))}/"
        return self._store.base()

    def _asked(self, each: ListedFile) -> ListedFile:
        """Return a file with what the store says of it, where the listing did not."""
        stat = None
        with contextlib.suppress(Exception):
            stat = self._store.stat(each.name)
        return each if stat is None else _listed_file(each.key, each.name, stat)


def _listed_file(key: str, name: str, stat: Stat | None) -> ListedFile:
    if stat is None:
        return ListedFile(key, name, None, None)
    return ListedFile(key, name, stat.size, _modified(stat), stat.version)


def _modified(stat: Stat) -> float | None:
    """Return when a file was last changed; None where a change would not be seen.

    Also when it was put where it is: a move keeps its time of modification.
    """
    times = [each for each in (stat.modified, stat.changed) if each is not None]
    return None if stat.changes_unseen or not times else max(times)


def epoch_now() -> float:
    """Return the time, in seconds since 1970."""
    return time.time()
