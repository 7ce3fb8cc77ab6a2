"""A diskcache of raw bytes, with short waits, and connections that can be closed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from typing import Any

import diskcache

DATABASE = "cache.db"
LOCK_SECONDS = 0.05
# Bytes of a page at most, which are some thousands.
VALUE_LIMIT = 1 << 20
# From so many bytes on SQLite writes its log back into the database.
LOG_BYTES = 1 << 20
# How many rows are removed under one lock, for which others wait.
EVICTED = 32
# For each of the many small transactions in which it is opened.
OPENING_SECONDS = 0.25
# Of each connection. A mapped file that somebody cuts short would end the process.
PRAGMAS = {
    "synchronous": 1,
    "cache_size": 1024,
    "mmap_size": 0,
    "wal_autocheckpoint": LOG_BYTES // 4096,
    "journal_size_limit": LOG_BYTES,
}


_RAW = diskcache.core.MODE_RAW
# What RawDisk.fetch returns.
_SELECT = (
    "SELECT value FROM Cache "
    "WHERE key = ? AND raw = 1 AND mode = ? AND filename IS NULL"
)


# diskcache has no types.
class RawDisk(diskcache.Disk):  # type: ignore[misc]
    """Keeps bytes as bytes, and gives back nothing else.

    diskcache's own unpickles what a row says is a pickle, and opens the files that
    a row names: whoever can write the database could run code here.
    """

    def put(self, key: Any) -> tuple[Any, bool]:
        """Return the key as the database has it; keys are bytes."""
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: bool) -> Any:
        """Return the key that a row holds, or None for one of another kind."""
        return bytes(key) if raw and isinstance(key, bytes) else None

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[Any, ...]:
        """Return a row's columns for a value; values are bytes."""
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        """Return a row's value, or None for anything but bytes in the row itself."""
        if mode != diskcache.core.MODE_RAW or filename is not None:
            return None
        return value if isinstance(value, bytes) else None

    def remove(self, file_path: str) -> None:
        """Remove nothing: no value of ours is a file, whatever a row says."""


class Connection(sqlite3.Connection):
    """One that any thread may close, and that is closed when it is forgotten."""

    def __del__(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.close()


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def close_before_fork(connection: Connection) -> None:
    """Have a connection closed before a fork."""
    _connections.add(connection)


def close_connections() -> None:
    """Close all there are, of all caches and threads."""
    for connection in list(_connections):
        connection.close()


# diskcache has no types.
class RawCache(diskcache.Cache):  # type: ignore[misc]
    """A diskcache whose connections are known, and that is not waited for for long."""

    @property
    def _con(self) -> sqlite3.Connection:
        connection: Connection | None = getattr(self._local, "con", None)
        if connection is None:
            connection = sqlite3.connect(
                os.path.join(self.directory, DATABASE),
                timeout=self.timeout or OPENING_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                factory=Connection,
            )
            # With what is around the value in its row. What is larger is not read.
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_LIMIT + 4096)
            close_before_fork(connection)
            self._local.con = connection
            for name, value in PRAGMAS.items():
                connection.execute(f"PRAGMA {name} = {value}")
        return connection

    def value(self, key: bytes) -> bytes | None:
        """Return what ``get`` does, which asks for more: of ours, nothing expires."""
        for (value,) in self._con.execute(_SELECT, (key, _RAW)).fetchall():
            if isinstance(value, bytes):
                return value
        return None

    @property
    def page_bytes(self) -> int:
        """How large the database is."""
        ((count,),) = self._sql("PRAGMA page_count").fetchall()
        return int(count * self._page_size)

    def checkpoint(self) -> None:
        """Write the log back into the database, and cut it short, if nobody reads."""
        self._sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def evict(self, count: int) -> bool:
        """Remove so many of the oldest rows; return whether there were any."""
        statement = (
            "DELETE FROM Cache WHERE rowid IN "
            "(SELECT rowid FROM Cache ORDER BY store_time LIMIT ?)"
        )
        with self.transact():
            return bool(self._sql(statement, (count,)).rowcount)

    @property
    def _sql_retry(self) -> Any:
        # diskcache's own tries for a minute.
        return self._sql
