"""Reports what a cache holds, and empties it, for operators.

One object for each tier that processes share. A tier needs ``stats`` and ``forget``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from tahoestorage.cache.disk import error_of
from tahoestorage.cache.generations import Generations
from tahoestorage.cache.rawcache import DATABASE

WAIT_SECONDS = 5.0
# How many pages are deleted under one lock, for which others wait.
BATCH = 100
_COUNTERS = "generations"
_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")


@dataclass(frozen=True)
class TierStats:
    """What a tier holds: ``pages``, out of date or not, in ``bytes`` of ``limit``.

    ``error`` says why nothing is known, or why it is not used. None is "not known".
    """

    tier: str
    place: str
    pages: int | None
    bytes: int | None
    limit: int | None
    error: str | None = None


class InspectedTier(Protocol):
    """A tier as it is looked after. Nothing here raises."""

    def stats(self) -> TierStats:
        """Return what it holds now."""

    def forget(self) -> TierStats:
        """Have every process forget all that it knows; return what is left."""


@dataclass(frozen=True)
class InspectedDisk:
    """The tier on disk, in ``directory``. Nothing is made where nothing is."""

    directory: Path
    size_limit: int
    tier: str = "disk"

    def stats(self) -> TierStats:
        """Return what it holds now."""
        failure = self._error()
        pages: int | None = 0
        if failure is None and self._database.exists():
            try:
                with self._connected() as database:
                    (pages,) = database.execute("SELECT COUNT(*) FROM Cache").fetchone()
            except sqlite3.Error as error:
                if not _is_new(error):
                    failure, pages = str(error), None
        files = (_COUNTERS, *_FILES)
        size = sum(self._size(name) for name in files) if failure is None else None
        return TierStats(
            self.tier, str(self.directory), pages, size, self.size_limit, failure
        )

    def forget(self) -> TierStats:
        """Have every process forget all that it knows; return what is left.

        At once: all numbers are changed where all processes have them before them.
        Then the pages go, which nobody believes any more.
        """
        failure = self._error()
        if failure is None:
            try:
                if (path := self.directory / _COUNTERS).exists():
                    Generations(path).invalidate_all()
                if self._database.exists():
                    self._empty()
            except (OSError, sqlite3.Error) as error:
                failure = getattr(error, "strerror", None) or str(error)
        left = self.stats()
        if failure is None or left.error is not None:
            return left
        return TierStats(
            self.tier, left.place, left.pages, left.bytes, left.limit, failure
        )

    @property
    def _database(self) -> Path:
        return self.directory / DATABASE

    def _error(self) -> str | None:
        """Return why the directory is not used, if it is there."""
        try:
            return error_of(self.directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error.strerror

    def _size(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return (self.directory / name).lstat().st_blocks * 512
        return 0

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # Not mode=ro, which can't open a journal that nobody has open. It makes none.
        connection = sqlite3.connect(
            f"file:{quote(str(self._database))}?mode=rw",
            timeout=WAIT_SECONDS,
            isolation_level=None,
            uri=True,
        )
        with contextlib.closing(connection):
            yield connection

    def _empty(self) -> None:
        some = "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache LIMIT ?)"
        try:
            with self._connected() as database:
                while database.execute(some, (BATCH,)).rowcount:
                    pass
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if not _is_new(error):
                raise
        except sqlite3.DatabaseError:
            # What is no database of ours is made anew by whoever needs it.
            for name in _FILES:
                (self.directory / name).unlink(missing_ok=True)


def _is_new(error: sqlite3.Error) -> bool:
    """Whether somebody is just making the database: there is nothing in it."""
    return isinstance(error, sqlite3.OperationalError) and "no such table" in str(error)
