"""The file of counters: cut short, locked, replaced, and half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tahoestorage.cache import MISSING, EntryCache, generations, localtiers
from tahoestorage.cache.diskaccess import gate
from tahoestorage.cache.generations import FILE_BYTES, Generations
from tests.cache.test_side_by_side import SETUP
from tests.cache.test_tiers import NEW, OLD, SCOPE, Store
from tests.support.old_release import Worker


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def worker(directory: Path) -> Iterator[Worker]:
    """A process of its own, which may die of what is done to the file."""
    worker = Worker(None, SETUP, directory)
    yield worker
    worker.end()


@pytest.fixture
def _always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it noticed at once that a file is another one, not half a second later."""
    monkeypatch.setattr(localtiers, "LOOK_SECONDS", -1.0)


# Removed


@pytest.mark.parametrize("label", ["*", "generations", "cache.db*"])
def test_no_change_is_missed_by_who_has_not_noticed_that_the_files_are_gone(
    directory: Path, worker: Worker, label: str
) -> None:
    """Each looks at them every half a second only."""
    store, other = Store(), EntryCache(directory)
    for value in (NEW, MISSING, NEW, MISSING):
        store.fill(other)
        worker.run(f"known = {dict.fromkeys(store.entries, 'old cap')!r}; fill()")
        known = worker.ask("look('new')")
        assert known is not None
        # From now on it does not look for as long as it can be.
        worker.run("cache._tiers.look()")
        for path in directory.glob(label):
            path.unlink()
        store.write(other, "new", value)
        assert worker.ask("look('new')") != known


# Cut short


@pytest.mark.parametrize(
    "size", [0, 1, 8, 15, 16, 5000, FILE_BYTES - 8, FILE_BYTES - 1]
)
def test_a_file_that_is_cut_short_kills_nobody_and_no_change_is_missed(
    directory: Path, worker: Worker, size: int
) -> None:
    store, other = Store(), EntryCache(directory)
    store.fill(other)
    worker.run("known = {f'old {n}': 'old cap' for n in range(3)}; fill()")
    os.truncate(directory / "generations", size)
    for value in (MISSING, OLD):
        store.write(other, "old 1", value)
        assert worker.ask("look('old 1')") in (
            None,
            "missing" if value is MISSING else "old cap",
        )
        store.said(other)
    worker.run("begin('new'); done('new', 'new cap')")
    store.entries["new"] = NEW
    store.said(other)
    store.fill(other)
    assert store.knows(other)
    assert store.knows(EntryCache(directory))


def test_neither_the_counters_nor_the_pages_are_mapped(directory: Path) -> None:
    """Whoever cuts a mapped file short ends all that look at it, whenever they look."""
    store, process = Store(), EntryCache(directory)
    store.fill(process)
    store.write(process, "new", NEW)
    assert store.knows(process)
    with gate:
        # What is in the log alone would be mapped nowhere.
        process._tiers._access.tier()._cache.checkpoint()  # type: ignore[attr-defined]
    assert store.knows(EntryCache(directory))
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = {line.rpartition("/")[2] for line in maps if str(directory) in line}
    # SQLite can do without its index in memory only where one process is all.
    assert mapped <= {"cache.db-shm"}


@pytest.mark.usefixtures("_always_look")
def test_a_file_that_is_cut_short_twice_does_not_bring_back_what_was(
    directory: Path,
) -> None:
    store, process, other = Store(), EntryCache(directory), EntryCache(directory)
    for _ in range(2):
        os.truncate(directory / "generations", 0)
        store.fill(process)
        store.said(process)
        store.write(other, "old 1", MISSING)
        os.truncate(directory / "generations", 0)
        store.said(process)
        store.write(other, "old 1", OLD)
        store.said(process)


def test_what_cannot_be_read_is_another_number_each_time(directory: Path) -> None:
    directory.mkdir()
    counters = Generations(directory / "generations")
    os.truncate(directory / "generations", 0)
    for read in (counters.generation, counters.epoch):
        assert read(SCOPE.slot) != read(SCOPE.slot)
    assert counters.snapshot() != counters.snapshot()
    assert not counters.vouches(counters.header())
    assert not counters.is_current()


# Locked by somebody who does not go on

STOPPED = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def locked_by_a_stopped_process(path: Path) -> Iterator[None]:
    command = [sys.executable, "-P", "-c", STOPPED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            process.send_signal(signal.SIGSTOP)
            yield
        finally:
            process.kill()


def test_a_stopped_process_that_locks_a_complete_file_stops_nobody(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = Store(), EntryCache(directory)
    store.fill(other)
    # Not by waiting for it, however long that would be allowed.
    monkeypatch.setattr(generations, "LOCK_SECONDS", 3600.0)
    with locked_by_a_stopped_process(directory / "generations"):
        process = EntryCache(directory)
        assert store.knows(process)
        store.write(process, "new", NEW)
        assert store.knows(other)
        store.write(other, "old 1", MISSING)
        assert store.knows(process)


@pytest.mark.parametrize("content", [b"", b"half", bytes(FILE_BYTES)])
def test_a_stopped_process_that_locks_an_incomplete_file_stops_nobody(
    directory: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(generations, "LOCK_SECONDS", 0.05)
    directory.mkdir(mode=0o700)
    (directory / "generations").write_bytes(content)
    with locked_by_a_stopped_process(directory / "generations"):
        store, process, other = Store(), EntryCache(directory), EntryCache(directory)
        store.fill(process)
        store.write(other, "new", NEW)
        assert store.knows(process)
        assert store.knows(other)


def test_those_who_start_at_once_share_one_file(directory: Path) -> None:
    names = [Worker(None, SETUP, directory) for _ in range(6)]
    try:
        files = {worker.ask("cache._tiers.generations._file[1]") for worker in names}
        headers = {worker.ask("cache.revalidate().header.hex()") for worker in names}
    finally:
        for worker in names:
            worker.end()
    assert files == {(directory / "generations").stat().st_ino}
    assert len(headers) == 1


def test_whoever_opens_a_file_that_is_replaced_waits_until_all_have_noticed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir(mode=0o700)
    path = directory / "generations"
    path.write_bytes(bytes(100))
    seen: list[bool] = []

    def sleep(seconds: float) -> None:
        # Everybody who opens it now finds it locked, and nothing in it.
        assert seconds > localtiers.LOOK_SECONDS
        with path.open("r+b") as file:
            seen.append(file.read() == b"")
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(time, "sleep", sleep)
    counters = Generations(path)
    assert seen == [True]
    assert counters.is_current()
    assert counters.vouches(counters.header())
    assert list(directory.iterdir()) == [path]


# Half written

KILL = """
import os, signal
from tahoestorage.cache import generations
writes, write = [], generations.Generations._write

def kill_at(self, content, offset):
    writes.append(offset)
    if len(writes) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, content, offset)

generations.Generations._write = kill_at
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("while_", ["begin", "done"])
def test_a_process_that_is_killed_between_two_numbers_leaves_no_lie(
    directory: Path, worker: Worker, while_: str, number: int
) -> None:
    store, process, other = Store(), EntryCache(directory), EntryCache(directory)
    store.fill(process)
    assert store.knows(process)
    assert store.knows(other)
    if while_ == "done":
        worker.run("begin('old 1')")
        store.fill(process)
    worker.run(KILL.format(number=number))
    with pytest.raises(AssertionError, match="it ended"):
        worker.run(f"{while_}({'old 1'!r}{', None' * (while_ == 'done')})")
    if while_ == "begin":
        # It was not sent.
        store.said(process)
        store.said(other)
    else:
        # It was, and nobody was told that it was done.
        for cache in (process, other, EntryCache(directory)):
            assert cache.entry(SCOPE, "old 1") in (None, OLD, MISSING)
        del store.entries["old 1"]
    store.write(other, "old 1", OLD)
    store.write(other, "new", NEW)
    for cache in (process, other, EntryCache(directory)):
        store.said(cache)
    store.fill(process)
    for cache in (process, other, EntryCache(directory)):
        assert store.knows(cache)


Change = Callable[[Generations], None]


@pytest.mark.parametrize(
    "change",
    [
        lambda counters: counters.change(SCOPE.slot),
        lambda counters: counters.invalidate(SCOPE.slot),
        lambda counters: counters.invalidate_all(),
    ],
    ids=["change", "invalidate", "all"],
)
def test_the_header_is_the_last_that_is_written(
    directory: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    directory.mkdir()
    counters = Generations(directory / "generations")
    before = counters.header()
    offsets: list[int] = []
    write = Generations._write

    def note(self: Generations, content: bytes, offset: int) -> None:
        offsets.append(offset)
        write(self, content, offset)

    monkeypatch.setattr(Generations, "_write", note)
    change(counters)
    assert offsets[-1] == 8
    assert offsets[0] != 8
    assert counters.header() != before
    assert counters.vouches(counters.header())
