"""The names of a search for orphans, in a temporary file: memory does not grow."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self
from unicodedata import normalize

_BATCH = 1000
_ROUNDED = 1.0
"""By so many seconds a store's two ways to tell a time may differ."""
_SCHEMA = """
CREATE TABLE files (
    key BLOB PRIMARY KEY, name BLOB, size INTEGER, modified REAL, version TEXT
) WITHOUT ROWID;
CREATE TABLE named (
    key BLOB PRIMARY KEY, name BLOB, by TEXT, passes INTEGER
) WITHOUT ROWID;
CREATE TABLE spared (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE reported (name BLOB PRIMARY KEY) WITHOUT ROWID;
"""


class ListedFile(NamedTuple):
    """A file in a store. ``modified`` is None where its age can't be known.

    ``version`` is that of its content, None or "" where the store tells none.
    """

    key: str
    name: str
    size: int | None
    modified: float | None
    version: str | None = None

    def is_still(self, now: ListedFile) -> bool:
        """Whether nobody has written the file since, as ``now`` says.

        Of stores that list milliseconds a request for one file has whole seconds. Who
        writes meanwhile does it today, and the file is older than a day.
        """
        if self.modified is None or now.modified is None or self.size != now.size:
            return False
        versions = {each for each in (self.version, now.version) if each}
        return len(versions) < 2 and abs(self.modified - now.modified) < _ROUNDED


class OrphanTable:
    """Files that were listed, names that the database has, and names of a report.

    SQLite deletes the file by itself. A context. Raises sqlite3.Error, as where the
    disk is full.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._below: dict[bytes, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def add_files(self, files: Iterable[ListedFile]) -> None:
        """Add what is listed. Of two paths to one file the first stays."""
        rows = (
            (
                _bytes(each.key),
                _bytes(each.name),
                each.size,
                each.modified,
                each.version,
            )
            for each in files
        )
        self._add("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?)", rows)

    def set_times(self, each: ListedFile) -> None:
        """Note what was asked for afterwards."""
        self._database.execute(
            "UPDATE files SET size = ?, modified = ?, version = ? WHERE key = ?",
            (each.size, each.modified, each.version, _bytes(each.key)),
        )

    def add_named(self, names: Iterable[tuple[str, str, str, int]]) -> None:
        """Add ``(key, name, by, bit)``: a bit for each pass in which it is named."""
        self._add(
            "INSERT INTO named VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "passes = passes | excluded.passes",
            ((_bytes(key), _bytes(name), by, bit) for key, name, by, bit in names),
        )

    def add_below(self, key: str) -> None:
        """Note that all that is below a key is named; below "", everything."""
        self._below[_bytes(f"{key}/" if key else "")] = None

    def add_spared(self, keys: Iterable[str]) -> None:
        """Spare each file whose key ends with one of these, at the start of a part.

        In whatever case and normal form. One with "/" before it is a whole key.
        """
        rows = ((_folded(key),) for key in keys)
        self._add("INSERT OR IGNORE INTO spared VALUES (?)", rows)

    def add_reported(self, names: Iterable[str]) -> None:
        """Add names that a report has."""
        rows = ((_bytes(name),) for name in names)
        self._add("INSERT OR IGNORE INTO reported VALUES (?)", rows)

    def orphans(self, *, reported: bool = False) -> Iterator[ListedFile]:
        """Yield the files that nothing names; with ``reported`` only such names.

        The table may be changed meanwhile.
        """
        query = (
            "SELECT key, name, size, modified, version FROM files WHERE key > ? AND "
            "NOT EXISTS (SELECT 1 FROM named WHERE named.key = files.key)"
        )
        if reported:
            query += " AND name IN (SELECT name FROM reported)"
        query += f" ORDER BY key LIMIT {_BATCH}"
        last = b""
        while page := self._database.execute(query, (last,)).fetchall():
            for key, name, *rest in page:
                if not (key.startswith(tuple(self._below)) or self._is_spared(key)):
                    yield ListedFile(_text(key), _text(name), *rest)
            last = page[-1][0]

    def missing(self, bits: int) -> Iterator[tuple[str, str, str]]:
        """Yield each key and name, and who names it, that no file has.

        It was named in all of these passes.
        """
        query = (
            "SELECT key, name, by FROM named WHERE passes & ? = ? AND "
            "NOT EXISTS (SELECT 1 FROM files WHERE files.key = named.key) ORDER BY key"
        )
        with contextlib.closing(self._database.execute(query, (bits, bits))) as rows:
            for key, name, by in rows:
                yield _text(key), _text(name), by

    def is_named(self, key: str) -> bool:
        """Whether anything names a file by now."""
        binary = _bytes(key)
        query = "SELECT 1 FROM named WHERE key = ?"
        found = self._database.execute(query, (binary,)).fetchone()
        return (
            found is not None
            or binary.startswith(tuple(self._below))
            or self._is_spared(binary)
        )

    def _is_spared(self, binary: bytes) -> bool:
        query = "SELECT 1 FROM spared WHERE key = ?"
        return any(
            self._database.execute(query, (_folded(ending),)).fetchone()
            for ending in ("/" + _text(binary), *endings(_text(binary)))
        )

    def _add(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        rows = iter(rows)
        while batch := list(itertools.islice(rows, _BATCH)):
            with self._transaction():
                self._database.executemany(statement, batch)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        with self._database:
            yield


def endings(key: str) -> Iterator[str]:
    """Yield a key, and what is left of it without its first parts."""
    parts = key.split("/")
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def _folded(key: str) -> bytes:
    return _bytes(normalize("NFC", normalize("NFC", key).casefold()))


def _bytes(name: str) -> bytes:
    # A disk may have names that are no Unicode.
    return name.encode("utf-8", "surrogatepass")


def _text(binary: bytes) -> str:
    return binary.decode("utf-8", "surrogatepass")
