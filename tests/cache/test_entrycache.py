"""What the cache of entries knows, for how long, and in which processes and threads.

Run as a program, this is one of the processes: see ``PARTS`` at the end.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
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
    localtiers,
    tiers,
)
from tahoestorage.entries import Entry, EntryKind

SCOPE = Namespace(b"identity", b"read", b"write")
FILE, NEW = Entry(EntryKind.FILE, "file cap", 7), Entry(EntryKind.FILE, "new cap", 8)
FOLDER = Entry(EntryKind.DIRECTORY, "folder cap")


def directory_of(number: int) -> Namespace:
    return Namespace(b"%d" % number, b"read %d" % number, b"write %d" % number)


def listing_of(count: int = 1) -> Listing:
    """Return a listing of "file" and "folder", and of as many others as it takes."""
    listing = Listing()
    listing.add("file", FILE)
    listing.add("folder", FOLDER, "folder write cap")
    for number in range(2, count):
        listing.add(f"other {number}", FILE)
    return listing


def fill(cache: EntryCache, namespace: Namespace = SCOPE, count: int = 2) -> None:
    cache.fill(cache.ticket(), namespace, listing_of(count))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> EntryCache:
    """A cache that knows a listing, and a path."""
    cache = EntryCache(directory)
    fill(cache)
    cache.fill_path(cache.ticket(), SCOPE, "a/b", "path cap", "path write cap")
    return cache


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds go by."""

    def later(seconds: float) -> None:
        now = time.time() + seconds
        clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
        monkeypatch.setattr(tiers, "time", clock)
        monkeypatch.setattr(localtiers, "time", clock)

    return later


# What is known


def test_nothing_is_known_of_a_directory_that_was_not_asked_for(
    cache: EntryCache,
) -> None:
    unknown = directory_of(1)
    assert cache.entry(unknown, "file") is None
    assert cache.entries(unknown) is None
    assert cache.path(unknown, "a/b") is None
    assert cache.write_reference(unknown, "folder") is None


@pytest.mark.parametrize("count", [2, 16, 17, 200])
def test_all_is_known_of_a_directory_that_was_listed_in_every_process(
    directory: Path, count: int
) -> None:
    fill(EntryCache(directory), count=count)
    for cache in (EntryCache(directory), EntryCache(directory, memory_entries=0)):
        assert cache.entry(SCOPE, "file") == FILE
        assert cache.entry(SCOPE, "no such name") is MISSING
        assert cache.write_reference(SCOPE, "folder") == "folder write cap"
        assert cache.write_reference(SCOPE, "file") is None
        assert cache.write_reference(SCOPE, "no such name") is None
        assert dict(cache.entries(SCOPE) or []) == dict(listing_of(count).items())


def test_an_empty_directory_is_known_to_be_empty(directory: Path) -> None:
    EntryCache(directory).fill(EntryCache(directory).ticket(), SCOPE, Listing())
    cache = EntryCache(directory)
    assert list(cache.entries(SCOPE) or "unknown") == []
    assert cache.entry(SCOPE, "file") is MISSING


def test_where_a_path_leads_is_known_in_every_process(
    cache: EntryCache, directory: Path
) -> None:
    other = EntryCache(directory)
    assert other.path(SCOPE, "a/b") == "path cap"
    assert other.path_write_reference(SCOPE, "a/b") == "path write cap"
    assert other.path(SCOPE, "a") is None


def test_a_smaller_listing_takes_the_place_of_a_greater_one(directory: Path) -> None:
    cache = EntryCache(directory)
    for count in (200, 3, 40, 2, 1000, 20):
        fill(cache, count=count)
        for each in (cache, EntryCache(directory)):
            assert dict(each.entries(SCOPE) or []) == dict(listing_of(count).items())


# Writes


@pytest.mark.parametrize("count", [2, 100])
@pytest.mark.parametrize("name", ["file", "new"])
@pytest.mark.parametrize("value", [NEW, MISSING])
def test_a_write_is_known_everywhere_and_the_rest_stays_known(
    directory: Path, count: int, name: str, value: Entry | Absent
) -> None:
    cache, other = EntryCache(directory), EntryCache(directory)
    fill(cache, count=count)
    assert other.entry(SCOPE, "file") == FILE
    cache.change(SCOPE, name).done(value)
    for each in (cache, other):
        assert each.entry(SCOPE, name) == value
        assert each.entry(SCOPE, "folder") == FOLDER
        assert each.write_reference(SCOPE, "folder") == "folder write cap"
        assert each.entry(SCOPE, "no such name") is MISSING
        assert each.entries(SCOPE) is not None


def test_the_write_cap_of_a_new_directory_is_known_everywhere(
    cache: EntryCache, directory: Path
) -> None:
    cache.change(SCOPE, "new").done(FOLDER, "new write cap")
    assert EntryCache(directory).write_reference(SCOPE, "new") == "new write cap"


def test_nothing_is_known_of_a_name_while_it_is_written(
    cache: EntryCache, directory: Path
) -> None:
    other = EntryCache(directory)
    assert other.entry(SCOPE, "file") == FILE
    change = cache.change(SCOPE, "file")
    for each in (cache, other, EntryCache(directory)):
        assert each.entry(SCOPE, "file") is None
        assert each.entry(SCOPE, "file", expired=True) is None
        assert each.entries(SCOPE) is None
        assert each.entry(SCOPE, "folder") == FOLDER
    change.done(FILE)
    assert other.entry(SCOPE, "file") == FILE


def test_nothing_is_known_of_a_name_after_a_write_with_an_unclear_end(
    cache: EntryCache, directory: Path
) -> None:
    cache.change(SCOPE, "file").done(None)
    other = EntryCache(directory)
    assert other.entry(SCOPE, "file") is None
    fill(cache)
    assert cache.entry(SCOPE, "file") == FILE
    assert EntryCache(directory).entry(SCOPE, "file") == FILE


def test_of_two_writes_at_a_time_nobody_knows_which_was_last(cache: EntryCache) -> None:
    first, second = cache.change(SCOPE, "file"), cache.change(SCOPE, "file")
    first.done(NEW)
    second.done(MISSING)
    assert cache.entry(SCOPE, "file") is None


def test_what_is_forgotten_is_forgotten_everywhere_and_nothing_else_is(
    cache: EntryCache, directory: Path
) -> None:
    other, another = EntryCache(directory), directory_of(1)
    fill(cache, another)
    assert other.entry(SCOPE, "file") == FILE
    cache.forget(SCOPE)
    for each in (cache, other, EntryCache(directory)):
        assert each.entry(SCOPE, "file") is None
        assert each.path(SCOPE, "a/b") is None
        assert each.entry(SCOPE, "file", expired=True) is None
        assert each.entry(another, "file") == FILE


# For how long


def test_a_write_does_not_prolong_what_is_known(
    cache: EntryCache, directory: Path, later: Callable[[float], None]
) -> None:
    later(250)
    cache.change(SCOPE, "new").done(NEW)
    assert cache.entry(SCOPE, "new") == NEW
    later(301)
    assert cache.entry(SCOPE, "new") is None
    assert EntryCache(directory).entry(SCOPE, "file") is None


def test_a_lifetime_begins_when_the_store_is_asked(directory: Path) -> None:
    cache = EntryCache(directory, lifetime=0.05)
    ticket = cache.ticket()
    time.sleep(0.06)
    cache.fill(ticket, SCOPE, listing_of())
    assert cache.entry(SCOPE, "file") is None


@pytest.mark.parametrize("where", ["memory", "disk", "memory without a disk"])
def test_while_the_store_is_away_expired_entries_count_but_none_is_missing(
    directory: Path, later: Callable[[float], None], where: str
) -> None:
    cache = EntryCache(None if "without" in where else directory)
    fill(cache, count=40)
    cache.fill_path(cache.ticket(), SCOPE, "a/b", "path cap", None)
    if where == "disk":
        cache = EntryCache(directory)
    later(3600)
    for _ in range(2):
        assert cache.entry(SCOPE, "file") is None
        assert cache.path(SCOPE, "a/b") is None
        assert cache.entry(SCOPE, "no such name") is None
        assert cache.entry(SCOPE, "file", expired=True) == FILE
        assert cache.path(SCOPE, "a/b", expired=True) == "path cap"
        assert cache.entry(SCOPE, "no such name", expired=True) is None


def test_missing_is_not_said_either_while_the_store_is_away_and_nothing_expired(
    cache: EntryCache,
) -> None:
    assert cache.entry(SCOPE, "no such name") is MISSING
    assert cache.entry(SCOPE, "no such name", expired=True) is None
    assert cache.entry(SCOPE, "file", expired=True) == FILE


def test_a_file_that_was_deleted_does_not_come_back_when_it_is_expired(
    cache: EntryCache, directory: Path, later: Callable[[float], None]
) -> None:
    other, alone = EntryCache(directory), EntryCache(None)
    fill(alone)
    later(3600)
    assert other.entry(SCOPE, "file", expired=True) == FILE
    for writer in (cache, alone):
        writer.change(SCOPE, "file").done(MISSING)
    for each in (cache, other, alone):
        assert each.entry(SCOPE, "file", expired=True) is None


@pytest.mark.parametrize(("seconds", "known"), [(1.9, FILE), (2.1, None)])
def test_memory_alone_holds_for_two_seconds_and_never_says_missing(
    later: Callable[[float], None], seconds: float, known: Entry | None
) -> None:
    cache = EntryCache(None)
    later(0)
    fill(cache, count=40)
    assert cache.entry(SCOPE, "no such name") is None
    assert cache.entries(SCOPE) is None
    later(seconds)
    assert cache.entry(SCOPE, "file") == known


# How much


def names_known(cache: EntryCache, count: int) -> int:
    return sum(
        cache.entry(directory_of(number), name) is not None
        for number in range(count)
        for name in ["file", "folder", *(f"other {i}" for i in range(2, 10))]
    )


def test_memory_is_bounded() -> None:
    cache = EntryCache(None, memory_entries=100)
    for number in range(50):
        fill(cache, directory_of(number), count=10)
    assert 50 < names_known(cache, 50) <= 100


@pytest.mark.parametrize("count", [10, 10_000])
def test_memory_has_room_for_ten_thousand_names_by_default(
    tmp_path: Path, count: int
) -> None:
    cache = EntryCache(tmp_path)
    for number in range(10_000 // count):
        names = [f"a photo of usual length {number}.jpg" for number in range(count)]
        listing = Listing()
        for name in names:
            listing.add(name, FILE)
        cache.fill(cache.ticket(), directory_of(number), listing)
        for name in names:  # Memory takes of a great one what is asked for.
            assert cache.entry(directory_of(number), name) == FILE

    kept: Any = cache._tiers.memory
    assert sum(len(each.page) for each in kept._pages.values()) == 10_000


@pytest.mark.parametrize(("length", "count"), [(10, 10), (3000, 10), (800, 1)])
def test_memory_is_bounded_in_bytes(length: int, count: int) -> None:
    tracemalloc.start()
    try:
        cache = EntryCache(None, memory_entries=2000)
        for number in range(4000 // count):
            listing = Listing()
            names = [f"{n}".ljust(length, "x") for n in range(count)]
            for name in names:
                listing.add(name, FILE)
            cache.fill(cache.ticket(), directory_of(number), listing)
            for name in [*names, *("y" * 3000 + name for name in names)]:
                cache.entry(directory_of(number), name)
        del listing, names
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2000 * 3 * 512


def test_a_great_directory_does_not_drive_all_others_out_of_memory() -> None:
    cache = EntryCache(None, memory_entries=400)
    for number in range(10):
        fill(cache, directory_of(number), count=10)
    fill(cache, directory_of(10), count=1000)
    assert names_known(cache, 10) == 100


def test_of_a_great_directory_memory_takes_what_is_asked_for(directory: Path) -> None:
    cache = EntryCache(directory, memory_entries=400)
    for number in range(10):
        fill(cache, directory_of(number), count=10)
    fill(cache, SCOPE, count=1000)
    assert cache.entry(SCOPE, "other 999") == FILE
    (directory / "cache.db").unlink()  # So that only memory is left to be asked.
    assert cache.entry(SCOPE, "other 999") == FILE
    assert names_known(cache, 10) == 100


@pytest.mark.parametrize("room", [400, 100_000])
def test_a_great_directory_is_known_as_it_was_told_last(
    directory: Path, room: int
) -> None:
    cache = EntryCache(directory, memory_entries=room)
    fill(cache, SCOPE, count=1000)
    assert cache.entry(SCOPE, "other 998") == FILE
    assert cache.entry(SCOPE, "other 1000") is MISSING
    listing = listing_of(998)
    listing.add("other 1000", NEW)
    cache.fill(cache.ticket(), SCOPE, listing)
    assert cache.entry(SCOPE, "other 998") is MISSING
    assert cache.entry(SCOPE, "other 1000") == NEW


def test_without_memory_and_disk_nothing_is_kept() -> None:
    cache = EntryCache(None, memory_entries=0)
    fill(cache)
    cache.fill_path(cache.ticket(), SCOPE, "a/b", "path cap", None)
    cache.change(SCOPE, "new").done(NEW)
    assert cache.entry(SCOPE, "file") is None
    assert cache.path(SCOPE, "a/b") is None
    assert cache.entry(SCOPE, "new") is None


# Several processes


def program(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def run(*arguments: object) -> str:
    """Run a part of this file as a process of its own, and return what it says last."""
    ended = subprocess.run(
        program(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return "".join(ended.stdout.splitlines()[-1:])


def look(directory: Path, name: str) -> None:
    """Say what a new process knows of a name, and end."""
    print(EntryCache(directory).entry(SCOPE, name))


def write(directory: Path, name: str) -> None:
    EntryCache(directory).change(SCOPE, name).done(NEW)


def test_what_a_process_knew_and_wrote_outlives_it(
    cache: EntryCache, directory: Path
) -> None:
    assert run("look", directory, "file") == str(FILE)
    run("write", directory, "new")
    assert run("look", directory, "new") == str(NEW)
    assert cache.entry(SCOPE, "new") == NEW


def test_a_second_cache_in_a_process_does_not_cost_the_first_its_locks(
    cache: EntryCache, directory: Path
) -> None:
    second = EntryCache(directory, lifetime=200.0)
    fill(second)
    # When it ends, it would remove the log that it believes nobody uses.
    assert run("look", directory, "file") == str(FILE)
    cache.change(SCOPE, "new").done(NEW)
    assert run("look", directory, "new") == str(NEW)


# Forks. They are made in processes of their own, for pytest has threads.


def in_child(work: Callable[[], object]) -> bool:
    """Do some work in a child, and return whether all was well."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        well = False
        with contextlib.suppress(BaseException):
            well = bool(work())
        os._exit(0 if well else 1)
    return os.waitpid(child, 0)[1] == 0


def open_files(directory: Path) -> list[str]:
    descriptors = Path("/proc/self/fd").iterdir()
    files = [os.readlink(path) for path in descriptors if path.is_symlink()]
    return [file for file in files if file.startswith(f"{directory}/cache.db")]


def fork(directory: Path) -> None:
    """Fork with a database that is open, in two threads."""
    cache = EntryCache(directory)
    fill(cache)
    barrier, end = threading.Barrier(2), threading.Event()

    def read() -> None:
        cache.change(SCOPE, "from thread").done(FILE)
        barrier.wait()
        end.wait()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    barrier.wait()
    assert open_files(directory)

    def child() -> bool:
        nothing_taken_over = not open_files(directory)
        knew = cache.entry(SCOPE, "file") == FILE
        cache.change(SCOPE, "new").done(NEW)
        return nothing_taken_over and knew and cache.entry(SCOPE, "new") == NEW

    assert in_child(child)
    assert cache.entry(SCOPE, "new") == NEW
    cache.change(SCOPE, "new").done(MISSING)
    assert cache.entry(SCOPE, "new") is MISSING
    end.set()
    thread.join()
    print("done")


def test_a_child_takes_no_connection_over_and_parent_and_child_tell_each_other(
    directory: Path,
) -> None:
    assert run("fork", directory) == "done"


def outlive(directory: Path) -> None:
    """Fork a child that outlives its parent, while other processes come and go."""
    parent = os.fork()
    if parent:
        os.waitpid(parent, 0)
        return
    cache = EntryCache(directory)
    fill(cache)
    child = os.fork()
    if child:
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.01)
    signal.alarm(60)
    assert cache.entry(SCOPE, "new") is MISSING
    said = [run("look", directory, "new")]
    cache.change(SCOPE, "new").done(NEW)
    said.append(run("look", directory, "new"))
    run("write", directory, "newer")
    said += [str(cache.entry(SCOPE, "newer")), run("look", directory, "new")]
    print(said == [str(MISSING), *[str(NEW)] * 3], flush=True)
    os._exit(0)


def test_a_child_that_outlives_its_parent_holds_locks_of_its_own(
    directory: Path,
) -> None:
    assert run("outlive", directory) == "True"


def fork_under_load(directory: Path) -> None:
    """Fork while threads read and write."""
    cache = EntryCache(directory)
    fill(cache)
    end, lies = threading.Event(), list[object]()

    def work(number: int) -> None:
        while not end.is_set():
            change = cache.change(SCOPE, f"from {number}")
            lies.extend({cache.entry(SCOPE, "file")} - {FILE, None})
            change.done(NEW)
            lies.extend({cache.entry(SCOPE, f"from {number}")} - {NEW, None})
            fill(cache, directory_of(number), count=40)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()

    def child() -> bool:
        fill(cache, directory_of(99))
        cache.change(directory_of(99), "new").done(NEW)
        return cache.entry(directory_of(99), "new") in (NEW, None)

    well = [in_child(child) for _ in range(12)]
    end.set()
    for thread in threads:
        thread.join()
    lies.extend({cache.entry(directory_of(99), "new")} - {NEW, None})
    print(sum(well), lies)


def test_forks_under_load_hang_nobody(directory: Path) -> None:
    assert run("fork_under_load", directory) == "12 []"


# All at once: everybody writes names of its own, and asks for those of all.

WRITERS, OWN_NAMES, ROUNDS = 8, 6, 25


class Hammered:
    """A store of files, and a table of which write of each name is acknowledged."""

    def __init__(self, directory: Path) -> None:
        self.store = directory / "store"
        self.store.mkdir(exist_ok=True)
        self.names = [f"{w} {n}" for w in range(WRITERS) for n in range(OWN_NAMES)]
        size = len(self.names) * 8
        with (directory / "table").open("a+b") as file:
            if file.tell() < size:
                file.truncate(size)
            # Twice the number of writes, and one more while another is under way.
            self._table = memoryview(mmap.mmap(file.fileno(), size)).cast("q")

    def listing(self) -> Listing:
        listing = Listing()
        for name in os.listdir(self.store):
            with contextlib.suppress(FileNotFoundError):
                text = (self.store / name).read_text()
                listing.add(name, Entry(EntryKind.FILE, text))
        return listing

    def write(self, cache: EntryCache, number: int) -> None:
        """Make the name if it is missing, else remove it."""
        name, before = self.names[number], self._table[number]
        assert before % 2 == 0
        self._table[number] = before + 1
        change = cache.change(SCOPE, name)
        entry = self.entry(number, before + 2)
        if entry is MISSING:
            (self.store / name).unlink()
        else:
            new = self.store.parent / f"new {name}"
            new.write_text(entry.reference)
            new.rename(self.store / name)
        change.done(entry)
        self._table[number] = before + 2

    def entry(self, number: int, state: int) -> Entry | Absent:
        if state % 4 == 0:
            return MISSING
        return Entry(EntryKind.FILE, f"{self.names[number]}, write {state // 2}")

    def is_known(self, cache: EntryCache, number: int) -> bool:
        """Ask for a name, and return whether it was known. Raise for a lie."""
        before = self._table[number]
        response = cache.entry(SCOPE, self.names[number])
        if response is not None and before % 2 == 0 and self._table[number] == before:
            assert response == self.entry(number, before), self.names[number]
        return response is not None

    def hammer(self, cache: EntryCache, writer: int) -> int:
        """Write and ask, and return how often the response was known.

        Whoever was told too little goes on: while others write, nearly every fill may
        be refused; the last writer is alone.
        """
        choose, known, turn = random.Random(writer), 0, 0
        while turn < ROUNDS or known <= ROUNDS:
            ticket = cache.ticket()
            listing = self.listing()
            if turn % 3 == 0:
                self.write(cache, writer * OWN_NAMES + choose.randrange(OWN_NAMES))
            cache.fill(ticket, SCOPE, listing)
            self.write(cache, writer * OWN_NAMES + choose.randrange(OWN_NAMES))
            for _ in range(20):
                known += self.is_known(cache, choose.randrange(len(self.names)))
            turn += 1
        return known


def hammer(directory: Path, writer: str) -> None:
    cache = EntryCache(directory / "cache")
    print(Hammered(directory).hammer(cache, int(writer)))


@contextlib.contextmanager
def processes(*many: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    started = [
        subprocess.Popen(
            each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for each in many
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_eight_processes_at_once_are_never_told_a_lie(tmp_path: Path) -> None:
    Hammered(tmp_path)
    parts = [program("hammer", tmp_path, writer) for writer in range(WRITERS)]
    with processes(*parts) as started:
        said = [process.communicate(timeout=200)[0] for process in started]
        assert [process.returncode for process in started] == [0] * WRITERS, said
    known = sum(int(text.splitlines()[-1]) for text in said)
    assert known > WRITERS * ROUNDS


def test_eight_threads_at_once_are_never_told_a_lie(tmp_path: Path) -> None:
    hammered, cache = Hammered(tmp_path), EntryCache(tmp_path / "cache")
    known: list[int] = []

    def work(writer: int) -> None:
        known.append(hammered.hammer(cache, writer))

    threads = [threading.Thread(target=work, args=(w,)) for w in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(known) == WRITERS
    assert sum(known) > WRITERS * ROUNDS


PARTS: list[Callable[..., None]] = [look, write, fork, outlive, fork_under_load, hammer]

if __name__ == "__main__":
    _, part, where, *rest = sys.argv
    {each.__name__: each for each in PARTS}[part](Path(where), *rest)
