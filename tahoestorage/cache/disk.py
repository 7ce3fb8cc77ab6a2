"""The tier on disk: sealed pages in a diskcache that processes of a host share."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import diskcache

from tahoestorage import forks
from tahoestorage.cache.errors import DiskError, DiskLocked
from tahoestorage.cache.rawcache import (
    DATABASE,
    EVICTED,
    LOCK_SECONDS,
    LOG_BYTES,
    PRAGMAS,
    VALUE_LIMIT,
    Connection,
    RawCache,
    RawDisk,
    close_before_fork,
)

OPEN_SECONDS = 1.0
# What lies beside the pages: the counters, the log with the largest transaction, its
# index, and one transaction for which older pages have yet to go.
BESIDE_BYTES = 4 << 20
# The least that all together may be told to be.
LEAST_BYTES = 2 * BESIDE_BYTES
# So often are the oldest pages removed at a time.
EVICTIONS = 40
FILES = ("generations", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
# diskcache has 18 of them, and reads them all.
MOST_SETTINGS = 100
# What diskcache keeps inside its database; pages are far smaller.
INLINE_BYTES = 1 << 30
# The last three are what diskcache trips over in a database that is not its own.
ERRORS = (
    OSError,
    sqlite3.Error,
    diskcache.Timeout,
    ValueError,
    TypeError,
    AttributeError,
)


_writers: dict[Path, threading.Lock] = {}


@contextlib.contextmanager
def _only_writer(directory: Path) -> Iterator[None]:
    """Let no other thread of this process write to the directory.

    Each holds the lock for some milliseconds, so that nobody waits for long.
    """
    lock = _writers.setdefault(directory, threading.Lock())
    if not lock.acquire(timeout=OPEN_SECONDS):
        raise DiskLocked("another thread takes long to write to it")
    try:
        yield
    finally:
        lock.release()


forks.in_child(_writers.clear)


def _error(error: Exception) -> DiskError:
    text = str(error) or type(error).__name__
    if isinstance(error, diskcache.Timeout) and error.__context__ is not None:
        # Timeout is what diskcache calls whatever keeps a transaction from beginning.
        text = str(error.__context__)
    if "locked" in text:
        return DiskLocked("it is locked by another process")
    return DiskError(text)


def error_of(directory: Path) -> str | None:
    """Return why a directory is not to be used, or None where it is ours alone.

    Neither one that belongs to another user, or is a link, nor one that holds such a
    file in the place of ours: its owner could cut it while it is mapped. Raises
    FileNotFoundError.
    """
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "it is a link, or not a directory"
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    for name in FILES:
        try:
            status = (directory / name).lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            return f"{name} in it is a link, or no file"
        if status.st_uid != os.geteuid():
            return f"{name} in it belongs to another user"
    return None


def private_directory(path: Path) -> None:
    """Make ``path`` a directory that is ours alone, or raise DiskError."""
    try:
        _make_directory(path)
        failure = error_of(path)
        if failure is not None:
            raise DiskError(failure)
        _close_to_others(path, 0o700)
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                _close_to_others(path / name, 0o600)
    except OSError as error:
        raise DiskError(error.strerror or type(error).__name__) from error


def _make_directory(path: Path) -> None:
    # Not by parents=True, which makes those as open as the umask lets it.
    try:
        path.mkdir(0o700)
    except FileNotFoundError:
        _make_directory(path.parent)
        path.mkdir(0o700, exist_ok=True)
    except FileExistsError:
        pass


def _close_to_others(path: Path, mode: int) -> None:
    if stat.S_IMODE(path.lstat().st_mode) != mode:
        path.chmod(mode)


def _make(database: Path) -> None:
    """Make an empty database of mode 0600, where there is none.

    It must not be opened where there is one: with any descriptor of it that is
    closed, this process loses its locks on it, those of other connections too.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(database, flags, 0o600)
    except FileExistsError:
        pass
    else:
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)


@contextlib.contextmanager
def _only_opener(directory: Path) -> Iterator[None]:
    """Let nobody else open the database at the same time, in this process or others."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise DiskLocked("another process takes long to open it") from None
                time.sleep(LOCK_SECONDS / 10)
        yield
    finally:
        os.close(descriptor)


def _check_settings(database: sqlite3.Connection) -> None:
    tables = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'Settings'"
    if database.execute(tables).fetchone()[0]:
        (count,) = database.execute("SELECT COUNT(*) FROM Settings").fetchone()
        if count > MOST_SETTINGS:
            raise DiskError("its database is not one of diskcache's")


def _identity(database: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(database)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class DiskTier:
    """Bytes by key, in ``directory``. The oldest are evicted to make room.

    All that lies in the directory is of ``size_limit`` bytes at most, from LEAST_BYTES
    on. One thread of a process writes at a time: threads wait for each other here, and
    not in SQLite, which would give up after a moment. Every method raises DiskError
    where the disk, the lock or the database fails.
    """

    def __init__(
        self, directory: Path, size_limit: int, evicted: int = EVICTED
    ) -> None:
        self.directory = directory
        self._evicted = evicted
        self._page_bytes = max(size_limit - BESIDE_BYTES, 1 << 20)
        # As text: they are looked at with each change.
        self._database = str(directory / DATABASE)
        self._log = f"{self._database}-wal"
        self._locked_at = float("-inf")
        private_directory(directory)
        with _only_writer(directory):
            self._cache = self._open()

    def is_current(self) -> bool:
        """Whether the database is still the one that others find by its path."""
        return _identity(self._database) == self._file

    def _open(self) -> RawCache:
        # SQLite gives its other files the mode of the first one.
        database = self.directory / DATABASE
        try:
            if os.path.expandvars(os.path.expanduser(database)) != str(database):
                raise DiskError("diskcache would expand its name")
            with _only_opener(self.directory):
                _make(database)
                self._file = _identity(self._database)
                first = sqlite3.connect(
                    database,
                    timeout=LOCK_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                    factory=Connection,
                )
                close_before_fork(first)
                # diskcache sets them too, but would wait for a minute.
                first.execute("PRAGMA auto_vacuum = 1")
                first.execute("PRAGMA journal_mode = wal")
                _check_settings(first)
                first.execute("BEGIN IMMEDIATE")
                first.execute("ROLLBACK")
                # Kept, for who closes the last connection locks all others out.
                self._first = first
                cache = RawCache(
                    str(self.directory),
                    timeout=LOCK_SECONDS,
                    disk=RawDisk,
                    disk_min_file_size=INLINE_BYTES,
                    size_limit=self._page_bytes,
                    eviction_policy="least-recently-stored",
                    **{f"sqlite_{name}": value for name, value in PRAGMAS.items()},
                )
                # Within a transaction it would not see what it has freed already. Not
                # as a setting: others may need to have it done.
                cache.cull_limit = 0
                return cache
        except ERRORS as error:
            raise _error(error) from error

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        try:
            return self._cache.value(key)
        except sqlite3.DataError:
            # Larger than any that we keep; it was not read.
            return None
        except ERRORS as error:
            raise _error(error) from error

    def set(self, key: bytes, value: bytes) -> None:
        """Keep the value; one that is too large is forgotten."""
        try:
            self._cache.set(key, value if len(value) < VALUE_LIMIT else b"")
        except ERRORS as error:
            raise _error(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and nobody else's writing between.

        Waits for other threads, which are quick, and for other processes 50 ms at most.
        """
        asked = time.monotonic()
        with _only_writer(self.directory):
            if self._locked_at > asked:
                # Whoever was before us has just waited in vain.
                raise DiskLocked("it is locked by another process")
            try:
                self._make_room()
                with self._cache.transact():
                    yield
            except ERRORS as error:
                failure = _error(error)
                if isinstance(failure, DiskLocked):
                    self._locked_at = time.monotonic()
                raise failure from error

    def _make_room(self) -> None:
        for _ in range(EVICTIONS):
            if self._cache.page_bytes <= self._page_bytes or not self._cache.evict(
                self._evicted
            ):
                break
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._log).st_size > 2 * LOG_BYTES:
                self._cache.checkpoint()
                if os.stat(self._log).st_size > 2 * LOG_BYTES:
                    raise DiskLocked("its log is locked by another process")
