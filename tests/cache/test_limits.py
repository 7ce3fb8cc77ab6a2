"""How much of the disk the cache takes, and how its writers wait for each other."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tahoestorage.cache import EntryCache, Listing, Namespace, disk, diskaccess, errors
from tahoestorage.cache.rawcache import VALUE_LIMIT, RawCache
from tahoestorage.config.options import CacheOptions
from tahoestorage.entries import Entry, EntryKind
from tests.cache.test_tiers import NEW, Store, warnings
from tests.support.old_release import Worker

MIB = 1 << 20


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def taken(directory: Path) -> int:
    """Return how many bytes lie in a directory, by length or by blocks."""
    total = 0
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            total += max(status.st_size, status.st_blocks * 512)
    return total


def fill(cache: EntryCache, number: int, count: int, length: int) -> None:
    """Keep a listing of so many names of a length."""
    listing, name = Listing(), "n" * length
    for each in range(count):
        listing.add(f"{each} {name}", Entry(EntryKind.FILE, "cap" * 20))
    namespace = Namespace(b"%d" % number, b"read %d" % number)
    cache.fill(cache.ticket(), namespace, listing)


def large(cache: EntryCache, number: int) -> None:
    fill(cache, number, 40, VALUE_LIMIT // 64)


def small(cache: EntryCache, number: int) -> None:
    fill(cache, number, 1000, 20)


def single(cache: EntryCache, number: int) -> None:
    for each in range(100):
        fill(cache, 100 * number + each, 1, 30)


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (8 * MIB, [small]),
        (8 * MIB, [large]),
        (12 * MIB, [small, large, single]),
    ],
)
def test_all_files_together_stay_within_the_limit(
    directory: Path, limit: int, sizes: list[Callable[[EntryCache, int], None]]
) -> None:
    caches = [EntryCache(directory, size_limit=limit) for _ in range(2)]
    most = 0
    for number in range(30):
        for each in sizes:
            each(caches[number % 2], number)
            most = max(most, taken(directory))
    assert most <= limit
    # It is used, too.
    assert most > 2 * MIB


def test_a_reader_that_does_not_go_on_does_not_let_the_log_grow(
    directory: Path,
) -> None:
    cache = EntryCache(directory, size_limit=8 * MIB)
    small(cache, 0)
    reader = sqlite3.connect(directory / "cache.db", isolation_level=None)
    with contextlib.closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM Cache").fetchone()
        for number in range(20):
            small(cache, number)
            large(cache, number)
            assert taken(directory) <= 8 * MIB


def test_the_least_that_is_taken_is_what_the_option_says() -> None:
    (option,) = (
        each
        for each in CacheOptions.__dataclass_fields__.values()
        if each.name == "size_limit"
    )
    convert = option.metadata["convert"]
    assert convert(disk.LEAST_BYTES) == disk.LEAST_BYTES
    with pytest.raises(ValueError, match=f"at least {disk.LEAST_BYTES}"):
        convert(disk.LEAST_BYTES - 1)


# Writers


@contextlib.contextmanager
def threads(count: int, work: Callable[[int], None]) -> Iterator[None]:
    """Let threads begin to work at once, and wait for their ends."""
    start = threading.Barrier(count)
    failed: list[BaseException] = []

    def begin(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    started = [threading.Thread(target=begin, args=(n,)) for n in range(count)]
    for thread in started:
        thread.start()
    yield
    for thread in started:
        thread.join()
    assert failed == []


def test_threads_that_fill_a_cold_cache_at_once_drop_nothing_and_warn_of_nothing(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Two caches of a process, as two storages with other options have them.
    caches = EntryCache(directory), EntryCache(directory, memory_entries=9_000)

    def work(number: int) -> None:
        for each in range(20):
            fill(caches[number % 2], 100 * number + each, 20, 10)

    with threads(16, work):
        pass
    reader = EntryCache(directory)
    known = [
        reader.entries(Namespace(b"%d" % n, b"read %d" % n)) is not None
        for number in range(16)
        for n in range(100 * number, 100 * number + 20)
    ]
    assert known == [True] * 320
    assert warnings(caplog) == []


FILL = """
import logging, sys, threading
from pathlib import Path
from tahoestorage.cache import EntryCache, Listing, Namespace
from tahoestorage.entries import Entry, EntryKind

class Warned(logging.Handler):
    def emit(self, record):
        warned.append(record.getMessage())

warned = []
logging.getLogger("tahoestorage").addHandler(Warned(logging.WARNING))

def work(number):
    for each in range(25):
        listing = Listing()
        listing.add("name", Entry(EntryKind.FILE, "cap"))
        namespace = Namespace(b"%d %d" % (number, each), b"read")
        cache.fill(cache.ticket(), namespace, listing)
        change = cache.change(namespace, "name")
        change.done(Entry(EntryKind.FILE, "cap"))

def fill(first):
    global cache
    cache = EntryCache(Path(sys.argv[1]))
    threads = [threading.Thread(target=work, args=(first + n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_processes_with_threads_that_start_at_once_warn_of_nothing(
    directory: Path,
) -> None:
    workers = [Worker(None, FILL, directory) for _ in range(4)]
    try:
        with threads(4, lambda number: workers[number].run(f"fill({10 * number})")):
            pass
        assert [worker.ask("warned") for worker in workers] == [[]] * 4
    finally:
        for worker in workers:
            worker.end()


def test_a_folder_that_is_removed_under_threads_is_no_lock(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EntryCache(directory)

    def work(number: int) -> None:
        store = Store(Namespace(b"%d" % number, b"read %d" % number))
        for _ in range(20):
            store.fill(cache)
            store.write(cache, "new", NEW)
            store.said(cache)

    with threads(8, work):
        for _ in range(5):
            shutil.rmtree(directory, ignore_errors=True)
    assert [text for text in warnings(caplog) if "locked" in text] == []


def test_a_lock_is_warned_of_once_and_only_where_it_lasts(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(diskaccess, "time", clock)
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    other = sqlite3.connect(directory / "cache.db", isolation_level=None)
    with contextlib.closing(other):
        for _ in range(3):
            # Each of these is over before it lasts.
            other.execute("BEGIN IMMEDIATE")
            store.fill(process)
            now[0] += 4
            store.fill(process)
            other.execute("ROLLBACK")
            now[0] += 2
            store.fill(process)
        assert warnings(caplog) == []
        other.execute("BEGIN IMMEDIATE")
        for _ in range(10):
            store.fill(process)
            now[0] += 2
    (warning,) = warnings(caplog)
    assert "locked by another process" in warning
    assert str(directory) in warning


def test_of_threads_that_wait_for_one_lock_only_the_first_asks_for_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = disk.DiskTier(directory, 8 * MIB)
    moments, asked = itertools.count(), list[str]()
    came, locked = threading.Semaphore(0), list[errors.DiskError]()

    def now() -> float:
        came.release()
        return next(moments)

    @contextlib.contextmanager
    def refused(self: RawCache) -> Iterator[None]:
        asked.append("the database")
        if len(asked) == 1:
            for _ in range(8):
                came.acquire(timeout=60)
        raise sqlite3.OperationalError("database is locked")
        yield

    monkeypatch.setattr(disk, "time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr(RawCache, "transact", refused)

    def work(number: int) -> None:
        with pytest.raises(errors.DiskLocked) as caught, tier.transaction():
            pass
        locked.append(caught.value)

    with threads(8, work):
        pass
    # The others came before it had waited in vain, and would wait as long.
    assert len(locked) == 8
    assert asked == ["the database"]
    work(8)
    assert len(asked) == 2
