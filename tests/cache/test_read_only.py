"""A cache folder that can be read, and not written: nobody believes what is in it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tahoestorage.cache import MISSING, EntryCache, generations, localtiers
from tests.cache.test_side_by_side import SETUP
from tests.cache.test_tiers import NEW, OLD, SCOPE, Store, warnings
from tests.support.old_release import Worker

# What an operating system says of files on a disk that was mounted to be read only.
READ_ONLY = """
import errno, os
from tahoestorage.cache import generations, localtiers, readonly
usual, access = os.open, os.access

def refuse(path, flags, *rest, **options):
    if str(path).startswith(sys.argv[1]) and flags & (os.O_RDWR | os.O_CREAT):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    return usual(path, flags, *rest, **options)

def read_only():
    os.open = refuse

def writable():
    os.open = usual
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def reader(directory: Path) -> Iterator[Worker]:
    """A process for which the folder is there to be read, and nothing else."""
    worker = Worker(None, READ_ONLY, directory)
    worker.run("read_only()")
    worker.run(SETUP)
    yield worker
    worker.end()


@pytest.fixture(autouse=True)
def _always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all noticed at once, not half a second later."""
    monkeypatch.setattr(localtiers, "LOOK_SECONDS", -1.0)


@pytest.fixture
def store(directory: Path) -> Store:
    store = Store()
    store.fill(EntryCache(directory))
    return store


def test_it_takes_no_part_and_the_others_believe_nothing_that_it_changed(
    directory: Path, store: Store, reader: Worker
) -> None:
    process = EntryCache(directory)
    assert store.knows(process)
    assert reader.ask("look('old 1')") is None
    reader.run("begin('old 1')")
    assert process.entry(SCOPE, "old 1") is None
    del store.entries["old 1"]
    reader.run("done('old 1', None)")
    for cache in (process, EntryCache(directory)):
        assert store.said(cache) == 0
        store.fill(cache)
        assert cache.entry(SCOPE, "old 2") == OLD
        # What is missing now, it may have made in the next moment.
        assert cache.entry(SCOPE, "never") is None


def test_when_it_has_gone_all_is_learnt_anew(
    directory: Path, store: Store, reader: Worker
) -> None:
    process = EntryCache(directory)
    assert store.knows(process)
    reader.run("begin('old 1'); done('old 1', None)")
    del store.entries["old 1"]
    ticket, listing = process.ticket(), Store().listing()
    assert store.said(process) == 0
    reader.end()
    assert store.said(process) == 0
    process.fill(ticket, SCOPE, listing)
    assert store.said(process) == 0
    store.fill(process)
    assert store.knows(process)
    assert store.knows(EntryCache(directory))


def test_when_it_may_write_again_it_tells_what_nobody_was_told(
    directory: Path, store: Store, reader: Worker
) -> None:
    reader.run("begin('old 1'); done('old 1', None)")
    del store.entries["old 1"]
    reader.run("writable(); cache._tiers.look()")
    # Whoever was not asked for anything meanwhile, too.
    process = EntryCache(directory)
    assert store.said(process) == 0
    store.fill(process)
    assert store.knows(process)
    assert reader.ask("look('old 2')") == "old cap"


def test_before_it_changes_something_all_have_had_the_time_to_notice(
    directory: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    usual = os.open

    def refuse(path: str, flags: int, *rest: int, **options: int) -> int:
        if str(path).startswith(str(directory)) and flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return usual(path, flags, *rest, **options)

    monkeypatch.setattr(localtiers, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(time, "sleep", slept.append)
    EntryCache(directory).change(SCOPE, "old 1")
    (seconds,) = slept
    assert seconds > 0.5


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_process_whose_counters_take_no_more_changes_takes_part_no_more(
    directory: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    process, other = EntryCache(directory), EntryCache(directory)
    assert store.knows(process)
    assert store.knows(other)
    usual, broken = generations._write, process._tiers.generations._descriptor  # type: ignore[attr-defined]
    inode = os.fstat(broken).st_ino

    def refuse(descriptor: int, content: bytes, offset: int) -> None:
        if refusing and os.fstat(descriptor).st_ino == inode:
            raise OSError(number, os.strerror(number))
        usual(descriptor, content, offset)

    refusing = True
    monkeypatch.setattr(generations, "_write", refuse)
    change = process.change(SCOPE, "old 1")
    del store.entries["old 1"]
    change.done(MISSING)
    store.said(process)
    process.forget(SCOPE)
    assert process.entry(SCOPE, "old 2") is None
    refusing = False
    # It is this that holds the others back, and not their own trouble.
    assert store.said(other) == 0
    store.write(process, "new", NEW)
    for cache in (process, other):
        store.said(cache)  # Each of them begins anew.
    store.fill(process)
    for cache in (process, other):
        assert store.knows(cache)
    (warning,) = warnings(caplog)
    assert os.strerror(number) in warning


def test_what_lies_on_a_disk_that_is_read_only_by_now_is_not_believed(
    directory: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = EntryCache(directory)
    assert store.knows(process)
    with monkeypatch.context() as read_only:
        # Who has the file open still reads it, and so do those who can't tell of a
        # change any more.
        read_only.setattr(os, "access", lambda *asked: False)
        assert store.said(process) == 0
        store.fill(process)
        assert process.entry(SCOPE, "never") is None
    del store.entries["old 1"]
    assert store.said(process) == 0
    store.fill(process)
    assert store.knows(process)
