"""Whatever happens to the cache's files costs requests, and is never told as a lie."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tahoestorage.cache import (
    MISSING,
    Absent,
    EntryCache,
    Listing,
    Namespace,
    disk,
    diskaccess,
    generations,
    localtiers,
    pages,
    rawcache,
    tiers,
)
from tahoestorage.entries import Entry, EntryKind

Known = Entry | Absent
SCOPE = Namespace(b"identity", b"read", b"write")
OLD, NEW = Entry(EntryKind.FILE, "old cap"), Entry(EntryKind.FILE, "new cap")


class Store:
    """What is really there, and what each cache may therefore say."""

    def __init__(self, namespace: Namespace = SCOPE, count: int = 3) -> None:
        self.namespace = namespace
        self.entries = {f"old {number}": OLD for number in range(count)}
        self.names = {*self.entries, "new", "newer", "never"}

    def listing(self) -> Listing:
        listing = Listing()
        for name, entry in self.entries.items():
            listing.add(name, entry)
        return listing

    def fill(self, cache: EntryCache) -> None:
        cache.fill(cache.ticket(), self.namespace, self.listing())

    def write(self, cache: EntryCache, name: str, value: Known) -> None:
        change = cache.change(self.namespace, name)
        self.entries.pop(name, None)
        if isinstance(value, Entry):
            self.entries[name] = value
        change.done(value)

    def said(self, cache: EntryCache) -> int:
        """Return of how many names the cache knows the truth; of none, a lie."""
        responses = {name: cache.entry(self.namespace, name) for name in self.names}
        known = {name: entry for name, entry in responses.items() if entry is not None}
        assert known == {name: self.entries.get(name, MISSING) for name in known}
        everything = cache.entries(self.namespace)
        assert everything is None or dict(everything) == self.entries
        return len(known)

    def knows(self, cache: EntryCache) -> bool:
        return self.said(cache) == len(self.names)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it noticed at once that files are gone, not half a second later."""
    monkeypatch.setattr(localtiers, "LOOK_SECONDS", -1.0)


@pytest.fixture
def _every_lock_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a lock warned of at once, and not only where it lasts."""
    monkeypatch.setattr(diskaccess, "LASTING_SECONDS", 0.0)


every_lock_lasts = pytest.mark.usefixtures("_every_lock_lasts")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("tahoestorage") and record.levelno >= logging.WARNING
    ]


def connection(cache: EntryCache) -> sqlite3.Connection:
    """Return the connection to the database that this thread has."""
    opened = cache._tiers._access._disk  # type: ignore[attr-defined]
    assert opened is not None
    con: sqlite3.Connection = opened._cache._con
    return con


def rows(directory: Path) -> list[tuple[bytes, bytes]]:
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as database:
        return database.execute("SELECT key, value FROM Cache").fetchall()


# Errors while it is in use. Each is given the process whose error it is.


@contextlib.contextmanager
def locked(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    other = sqlite3.connect(directory / "cache.db", isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def full(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    connection(cache).execute("PRAGMA max_page_count = 20")
    for index in range(20):
        Store(Namespace(b"%d" % index, b"%d" % index), count=100).fill(cache)
    yield


@contextlib.contextmanager
def read_only(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    connection(cache).execute("PRAGMA query_only = 1")
    yield


@contextlib.contextmanager
def corrupt(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    for name in ("cache.db", "cache.db-wal"):
        path = directory / name
        path.write_bytes(b"junk" * (path.stat().st_size // 4))
    yield


@contextlib.contextmanager
def emptied(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    os.truncate(directory / "cache.db", 0)
    os.truncate(directory / "cache.db-wal", 0)
    yield


@contextlib.contextmanager
def gone(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    shutil.rmtree(directory)
    yield


@contextlib.contextmanager
def made_anew(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    shutil.rmtree(directory)
    other = EntryCache(directory)
    store.fill(other)
    yield


@contextlib.contextmanager
def database_gone(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    (directory / "cache.db").unlink()
    yield


@contextlib.contextmanager
def database_made_anew(
    cache: EntryCache, directory: Path, store: Store
) -> Iterator[None]:
    for path in directory.glob("cache.db*"):
        path.unlink()
    other = EntryCache(directory)
    store.fill(other)
    yield


@contextlib.contextmanager
def a_file_in_its_place(
    cache: EntryCache, directory: Path, store: Store
) -> Iterator[None]:
    shutil.rmtree(directory)
    directory.write_text("a file")
    yield


@contextlib.contextmanager
def tables_gone(cache: EntryCache, directory: Path, store: Store) -> Iterator[None]:
    connection(cache).execute("DROP TABLE Cache")
    yield


Broken = Callable[[EntryCache, Path, Store], contextlib.AbstractContextManager[None]]
ERRORS: list[Broken] = [
    locked,
    full,
    read_only,
    corrupt,
    emptied,
    gone,
    made_anew,
    database_gone,
    database_made_anew,
    a_file_in_its_place,
    tables_gone,
]
errors = pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)


@errors
@pytest.mark.parametrize("count", [3, 40], ids=["one page", "four pages"])
def test_an_error_ends_in_misses_and_never_in_a_lie(
    directory: Path, error: Broken, count: int
) -> None:
    store = Store(count=count)
    process, other = EntryCache(directory), EntryCache(directory)
    store.fill(process)
    assert store.knows(process)
    assert store.knows(other)
    with error(process, directory, store):
        store.said(process)
        for writer in (process, other, process):
            store.write(writer, "new", NEW)
            store.write(writer, "old 1", MISSING)
            for cache in (process, other, EntryCache(directory)):
                store.said(cache)
            store.fill(writer)
            store.write(writer, "newer", NEW)
            store.write(writer, "new", MISSING)
            store.write(writer, "old 1", OLD)
            for cache in (process, other, EntryCache(directory)):
                store.said(cache)


@errors
def test_an_error_is_logged_once_at_most(
    directory: Path, error: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    with error(process, directory, store):
        for number in range(3):
            store.write(process, f"name {number}", NEW)
            store.fill(process)
            store.said(process)
    assert len(warnings(caplog)) <= 1


@pytest.mark.parametrize("error", [locked, full, read_only, tables_gone])
@every_lock_lasts
def test_an_error_is_logged_with_the_directory_and_what_is_the_matter(
    directory: Path, error: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    with error(process, directory, store):
        store.write(process, "new", NEW)
    (warning,) = warnings(caplog)
    assert str(directory) in warning
    assert "slower" in warning


@every_lock_lasts
def test_an_error_is_logged_again_after_a_lifetime(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, process = Store(), EntryCache(directory, lifetime=0.01)
    store.fill(process)
    with locked(process, directory, store):
        store.write(process, "new", NEW)  # Waits for longer than a lifetime.
    assert len(warnings(caplog)) >= 2


def test_a_lock_that_opens_is_forgotten(directory: Path) -> None:
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    with locked(process, directory, store):
        store.write(process, "new", NEW)
    store.fill(process)
    assert store.knows(EntryCache(directory))


def test_a_disk_that_failed_is_tried_again_after_a_lifetime(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, process = Store(), EntryCache(directory, lifetime=300.0)
    store.fill(process)
    with read_only(process, directory, store):
        store.write(process, "new", NEW)
        store.fill(process)
    assert store.said(EntryCache(directory)) == 0
    later = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 301)
    monkeypatch.setattr("tahoestorage.cache.diskaccess.time", later)
    store.fill(process)
    assert store.knows(EntryCache(directory))


# Errors from the start


@every_lock_lasts
def test_a_cache_that_is_locked_when_it_is_opened_misses(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, healthy = Store(), EntryCache(directory)
    store.fill(healthy)
    with locked(healthy, directory, store):
        process = EntryCache(directory)
        assert store.said(process) == 0
        store.write(process, "new", NEW)
        assert store.said(healthy) == 0
    assert len(warnings(caplog)) == 1


@every_lock_lasts
def test_a_cache_waits_for_its_turn_to_be_opened_and_then_misses(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk, "OPEN_SECONDS", 0.02)
    store, process, other = Store(), EntryCache(directory), EntryCache(directory)
    with disk._only_opener(directory):
        store.fill(process)
        assert store.knows(process)
        assert store.said(other) == 0
        store.write(other, "new", NEW)
        assert store.said(process) == 0
    assert len(warnings(caplog)) == 2
    store.fill(EntryCache(directory))
    assert store.knows(EntryCache(directory))


@pytest.mark.timeout(50)  # diskcache by itself waits for a minute.
@every_lock_lasts
def test_a_cache_that_is_locked_while_it_is_being_opened_misses(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, healthy = Store(), EntryCache(directory)
    store.fill(healthy)
    with contextlib.ExitStack() as stack:

        def open_too_late(*args: Any, **options: Any) -> rawcache.RawCache:
            stack.enter_context(locked(healthy, directory, store))
            return rawcache.RawCache(*args, **options)

        monkeypatch.setattr(disk, "RawCache", open_too_late)
        process = EntryCache(directory)
        assert store.said(process) == 0
        store.write(process, "new", NEW)
        assert store.said(healthy) == 0
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(
    "content", [b"junk" * 5000, b"SQLite format 3\0" + b"x" * 4096]
)
def test_a_database_that_is_none_is_a_miss(
    directory: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    directory.mkdir()
    (directory / "cache.db").write_bytes(content)
    store, process, other = Store(), EntryCache(directory), EntryCache(directory)
    store.fill(process)
    assert store.knows(process)
    assert store.said(other) == 0
    store.write(other, "new", NEW)
    assert store.said(process) == 0
    assert len(warnings(caplog)) == 2
    assert (directory / "cache.db").read_bytes() == content


def test_a_database_that_only_newer_versions_may_write_is_a_miss(
    directory: Path,
) -> None:
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    process._tiers._access.close()  # type: ignore[attr-defined]
    with (directory / "cache.db").open("r+b") as file:
        file.seek(18)  # sqlite.org/fileformat.html: the write version.
        file.write(b"\3")
    process, other = EntryCache(directory), EntryCache(directory)
    store.said(process)
    store.write(process, "new", NEW)
    store.said(other)
    store.fill(process)
    assert store.knows(process)


def unshared(process: EntryCache, store: Store) -> None:
    """Assert what holds where nobody says that a page is outdated."""
    store.fill(process)
    assert process.entry(store.namespace, "old 1") == OLD
    assert process.entry(store.namespace, "never") is None
    assert process.entries(store.namespace) is None
    store.write(process, "old 1", MISSING)
    assert process.entry(store.namespace, "old 1") is None


@pytest.mark.parametrize(
    "number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EMFILE, errno.EIO]
)
def test_a_directory_that_takes_no_files_misses(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    usual = os.open

    def broken(path: Any, *rest: Any, **options: Any) -> int:
        if Path(path).parent == directory:
            raise OSError(number, os.strerror(number))
        return usual(path, *rest, **options)

    monkeypatch.setattr(os, "open", broken)
    unshared(EntryCache(directory), Store())
    (warning,) = warnings(caplog)
    assert os.strerror(number) in warning


def test_a_directory_of_somebody_else_is_not_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = EntryCache(directory)
    Store().fill(healthy)
    ours = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
    before = rows(directory)
    unshared(EntryCache(directory), Store())
    (warning,) = warnings(caplog)
    assert "belongs to another user" in warning
    assert rows(directory) == before


@pytest.mark.parametrize("name", ["", "generations", "cache.db"])
def test_links_are_not_followed(
    directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    target = tmp_path / "target"
    if name:
        directory.mkdir()
        target.touch()
    else:
        target.mkdir()
    (directory / name).symlink_to(target)
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    store.write(process, "new", NEW)
    store.said(process)
    assert len(warnings(caplog)) == 1
    if name:
        assert target.read_bytes() == b""
    else:
        assert list(target.iterdir()) == []


def test_a_directory_whose_parent_is_a_file_misses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    unshared(EntryCache(tmp_path / "file" / "cache"), Store())
    assert len(warnings(caplog)) == 1


def test_a_name_that_diskcache_would_expand_is_not_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    store, process = Store(), EntryCache(tmp_path / "$ELSEWHERE")
    store.fill(process)
    assert store.knows(process)
    assert not (tmp_path / "elsewhere").exists()
    assert len(warnings(caplog)) == 1


def test_what_could_not_be_shared_at_first_is_shared_as_soon_as_it_can_be(
    directory: Path,
) -> None:
    store, healthy = Store(), EntryCache(directory)
    store.fill(healthy)
    kept = directory.rename(directory.with_name("kept"))
    directory.touch()
    process = EntryCache(directory)
    unshared(process, Store())
    directory.unlink()
    kept.rename(directory)
    store.write(process, "new", NEW)
    store.said(healthy)
    assert healthy.entry(SCOPE, "new") in (None, NEW)
    store.fill(healthy)
    assert store.knows(process)


# A real limit: what a process may write to a file.

LIMITED = """
import logging, resource, sys
from pathlib import Path
from tahoestorage.cache import MISSING, EntryCache, Listing, Namespace
from tahoestorage.entries import Entry, EntryKind

logging.basicConfig(format="%(levelname)s", stream=sys.stdout)
directory, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
cache, namespace = EntryCache(directory), Namespace(b"identity", b"read", b"write")
for number in range(40):
    name = f"new {number}"
    change = cache.change(namespace, name)
    change.done(Entry(EntryKind.FILE, "cap" * 1000))
    assert cache.entry(namespace, name) in (None, Entry(EntryKind.FILE, "cap" * 1000))
    assert cache.entry(namespace, "never") in (None, MISSING)
print("done")
"""


def limited(directory: Path, limit: int) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-P", "-c", LIMITED, directory, str(limit)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return run.stdout.split()


def test_a_disk_that_fills_up_while_it_is_in_use_is_no_lie(directory: Path) -> None:
    store, healthy = Store(), EntryCache(directory)
    store.fill(healthy)
    # Enough for the generations, and for a part of the log.
    assert limited(directory, 300_000) == ["WARNING", "done"]
    store.entries |= {
        f"new {n}": Entry(EntryKind.FILE, "cap" * 1000) for n in range(40)
    }
    store.names |= store.entries.keys()
    store.said(healthy)
    store.fill(healthy)
    assert store.knows(EntryCache(directory))


def test_a_disk_on_which_there_is_no_room_for_the_generations_misses(
    directory: Path,
) -> None:
    assert limited(directory, 100_000) == ["WARNING", "done"]
    # The next one completes what was begun.
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    assert store.knows(EntryCache(directory))
    assert (directory / "generations").stat().st_blocks * 512 >= generations.FILE_BYTES


# Files that are removed


@pytest.mark.parametrize("label", ["*", "cache.db*", "generations"])
def test_a_ticket_from_before_the_files_were_removed_is_not_taken(
    directory: Path, label: str
) -> None:
    store, process = Store(), EntryCache(directory)
    ticket, listing = process.ticket(), store.listing()
    # Told through files that are then removed, and so not told to those made anew.
    store.write(EntryCache(directory), "new", NEW)
    for path in directory.glob(label):
        path.unlink()
    other = EntryCache(directory)
    store.said(process)
    process.fill(ticket, SCOPE, listing)
    assert store.said(process) == 0
    assert store.said(other) == 0


@pytest.mark.parametrize("label", ["*", "cache.db*", "generations"])
@pytest.mark.parametrize("bump", range(3))
def test_a_write_during_which_the_files_are_removed_is_told_all_the_same(
    directory: Path, monkeypatch: pytest.MonkeyPatch, label: str, bump: int
) -> None:
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    before = store.listing()
    change = process.change(SCOPE, "new")
    store.entries["new"] = NEW
    others: list[EntryCache] = []
    usual, bumps = generations.Generations.change, itertools.count()

    def remove(self: generations.Generations, slot: int) -> None:
        usual(self, slot)
        if next(bumps) == bump:
            for path in directory.glob(label):
                path.unlink()
            others.append(EntryCache(directory))
            others[0].fill(others[0].ticket(), SCOPE, before)
            assert others[0].entry(SCOPE, "new") is MISSING

    monkeypatch.setattr(generations.Generations, "change", remove)
    change.done(NEW)
    assert len(others) == 1
    store.said(others[0])
    store.said(process)
    store.said(EntryCache(directory))


# Versions, starts of the machine, clocks


def test_a_cache_of_another_version_is_a_miss_and_is_told_of_writes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, process, other = Store(), EntryCache(directory), EntryCache(directory)
    with monkeypatch.context() as other_version:
        other_version.setattr(pages, "_SEALED_VERSION", 2)
        store.fill(other)
        assert store.knows(other)
    assert store.said(process) == 0
    store.write(process, "new", NEW)
    with monkeypatch.context() as other_version:
        other_version.setattr(pages, "_SEALED_VERSION", 2)
        store.said(other)
    store.fill(process)
    assert store.knows(process)


def test_after_a_start_of_the_machine_nothing_is_believed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    store.fill(EntryCache(directory))
    assert store.knows(EntryCache(directory))
    monkeypatch.setattr(generations, "_boot", lambda: b"anew....")
    assert store.said(EntryCache(directory)) == 0
    store.fill(EntryCache(directory))
    assert store.knows(EntryCache(directory))


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize(
    ("seconds", "known"), [(0, True), (250, True), (301, False), (-3600, False)]
)
def test_entries_live_for_a_lifetime_also_when_the_clock_is_set_back(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    seconds: float,
    known: bool,
) -> None:
    store, process = Store(), EntryCache(directory, lifetime=300.0)
    store.fill(process)
    if where == "disk":
        process = EntryCache(directory, lifetime=300.0)
    clock = SimpleNamespace(
        time=lambda: time.time() + seconds, monotonic=time.monotonic
    )
    monkeypatch.setattr(tiers, "time", clock)
    monkeypatch.setattr(localtiers, "time", clock)
    assert store.said(process) == (len(store.names) if known else 0)


# Modes


@pytest.fixture
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("_umask", [0, 0o022, 0o277, 0o777], indirect=True)
@pytest.mark.usefixtures("_umask")
def test_the_directory_and_its_files_are_private_whatever_the_umask(
    directory: Path,
) -> None:
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    store.write(process, "new", NEW)
    modes = {path.name: path.stat().st_mode for path in directory.iterdir()}
    assert set(modes) == {"generations", "cache.db", "cache.db-wal", "cache.db-shm"}
    assert {stat.S_IMODE(mode) for mode in modes.values()} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert store.knows(EntryCache(directory))


def test_a_directory_that_was_open_to_others_is_closed(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    EntryCache(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


# What is kept, and what gives way


def test_a_page_that_was_evicted_is_unknown_and_the_others_are_not(
    directory: Path,
) -> None:
    store = Store(count=100)
    store.fill(EntryCache(directory))
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as database:
        (key,), *rest = database.execute("SELECT key FROM Cache").fetchall()
        assert len(rest) == 8
        database.execute("DELETE FROM Cache WHERE key = ?", (key,))
        database.commit()
    process = EntryCache(directory)
    assert process.entries(SCOPE) is None
    assert len(store.names) / 2 < store.said(process) < len(store.names)
    for name in store.names:
        store.write(process, name, NEW)
    store.said(EntryCache(directory))


def test_the_database_stays_within_its_limit(directory: Path) -> None:
    process = EntryCache(directory, size_limit=1 << 20)
    for number in range(60):
        store = Store(Namespace(b"%d" % number, b"read %d" % number), count=400)
        store.fill(process)
    assert (directory / "cache.db").stat().st_size < 2 << 20
    assert store.said(EntryCache(directory)) > 0


def test_directories_that_share_a_slot_do_not_share_what_is_known(
    directory: Path,
) -> None:
    twin = next(
        namespace
        for namespace in (
            Namespace(b"%d" % n, b"read %d" % n) for n in itertools.count()
        )
        if namespace.slot == SCOPE.slot
    )
    stores = Store(), Store(twin)
    process, other = EntryCache(directory), EntryCache(directory)
    for store in stores:
        store.fill(process)
        assert store.knows(other)
    stores[0].write(process, "new", NEW)
    for store, cache in itertools.product(stores, (process, other)):
        assert store.knows(cache)


@pytest.mark.parametrize("transaction", range(3))
def test_a_great_listing_during_whose_storing_there_is_a_write_is_dropped(
    directory: Path, monkeypatch: pytest.MonkeyPatch, transaction: int
) -> None:
    store, process = Store(count=1000), EntryCache(directory, memory_entries=10)
    other = EntryCache(directory)
    store.fill(other)
    usual, begun = disk.DiskTier.transaction, itertools.count()

    @contextlib.contextmanager
    def interrupted(self: disk.DiskTier) -> Iterator[None]:
        if next(begun) == transaction:
            store.write(other, "new", NEW)
            store.write(other, "old 1", MISSING)
        with usual(self):
            yield

    ticket, listing = process.ticket(), store.listing()
    monkeypatch.setattr(disk.DiskTier, "transaction", interrupted)
    process.fill(ticket, SCOPE, listing)
    assert next(begun) > transaction
    for cache in (process, other, EntryCache(directory)):
        store.said(cache)


def test_other_processes_can_write_between_the_parts_of_a_great_listing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, process = Store(count=3000), EntryCache(directory)
    sizes: list[int] = []
    usual_begin, usual_set = disk.DiskTier.transaction, disk.DiskTier.set

    def begin(self: disk.DiskTier) -> contextlib.AbstractContextManager[None]:
        sizes.append(0)
        return usual_begin(self)

    def count(self: disk.DiskTier, key: bytes, value: bytes) -> None:
        sizes[-1] += 1
        usual_set(self, key, value)

    monkeypatch.setattr(disk.DiskTier, "transaction", begin)
    monkeypatch.setattr(disk.DiskTier, "set", count)
    store.fill(process)
    assert sum(sizes) == 256 + 1
    assert max(sizes) <= 32
    assert store.knows(EntryCache(directory))
