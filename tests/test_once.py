"""What a process has once, it has once: also if threads ask at the same moment."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.once import OnceForEach, made_once
from tahoestorage.storage import TahoeStorage
from tests.conftest import MakeStorage

THREADS = 24


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(ask: Callable[[], object]) -> list[object]:
    """Let threads ask at the same moment, and return what each was given."""
    start, given = threading.Barrier(THREADS), list[object]()

    def work() -> None:
        start.wait()
        given.append(ask())

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def test_threads_that_make_their_storage_at_once_share_a_cache_and_a_gateway(
    make_storage: MakeStorage,
) -> None:
    def ask() -> tuple[object, object]:
        storage: TahoeStorage = make_storage()
        return storage.directories.cache, storage.directories.gateway

    given = at_once(ask)
    assert len(given) == THREADS
    assert len({*given}) == 1


def test_threads_that_make_a_bucket_s_storage_at_once_share_a_cache(
    tmp_path: Path,
) -> None:
    def ask() -> object:
        cache = {"directory": str(tmp_path / "cache")}
        return S3Storage(bucket_name="bucket", cache=cache)._entries

    assert len({*at_once(ask)}) == 1


@pytest.mark.parametrize("attribute", ["options", "directories", "links"])
def test_threads_that_use_one_storage_first_at_once_share_what_it_makes(
    make_storage: MakeStorage, attribute: str
) -> None:
    storage = make_storage()
    given = at_once(lambda: getattr(storage, attribute))
    assert {*map(id, given)} == {id(getattr(storage, attribute))}


def test_threads_that_ask_at_once_have_a_cap_file_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_storage: MakeStorage
) -> None:
    file = tmp_path / "cap"
    file.write_text(make_storage().options.root.uri)
    storage = TahoeStorage(base_cap_file=str(file))
    given = at_once(lambda: storage.options.root)
    assert {*map(id, given)} == {id(storage.options.root)}


def test_an_attribute_is_made_once_and_again_only_where_that_failed() -> None:
    class Thing:
        count = 0

        @made_once
        def part(self) -> object:
            """What it is."""
            Thing.count += 1
            if Thing.count == 1:
                raise OSError("not now")
            return object()

    thing, other = Thing(), Thing()
    with pytest.raises(OSError, match="not now"):
        _ = thing.part
    assert {*at_once(lambda: thing.part)} == {thing.part}
    assert other.part is not thing.part
    assert Thing.count == 3
    assert Thing.part.__doc__ == "What it is."


def test_making_an_attribute_may_ask_for_that_of_another() -> None:
    class Thing:
        def __init__(self, of: Thing | None = None) -> None:
            self.of = of

        @made_once
        def depth(self) -> int:
            return 0 if self.of is None else self.of.depth + 1

    assert Thing(Thing(Thing())).depth == 2


def test_other_options_get_another_one_whatever_the_order(
    make_storage: MakeStorage, tmp_path: Path
) -> None:
    def cache(**options: Any) -> object:
        given = {"directory": str(tmp_path / "cache"), **options}
        return make_storage(cache=given).directories.cache

    assert cache(lifetime=10, memory_entries=7) is cache(memory_entries=7, lifetime=10)
    assert cache(lifetime=10) is not cache(lifetime=11)


def test_what_could_not_be_made_is_made_for_who_asks_next() -> None:
    asked: list[int] = []

    @OnceForEach
    def make(number: int) -> int:
        asked.append(number)
        if len(asked) == 1:
            raise OSError("not now")
        return number

    with pytest.raises(OSError, match="not now"):
        make(1)
    assert [make(1), make(1), make(2)] == [1, 1, 2]
    assert asked == [1, 1, 2]


# In a process of its own, for pytest has threads.
FORK = """
import os, signal, sys, threading
from tahoestorage.once import OnceForEach, made_once

making, made = threading.Event(), threading.Event()

def build(number):
    if number == 1:
        making.set()
        made.wait()
    return number

once = OnceForEach(build)

class Thing:
    def __init__(self, number):
        self.number = number

    @made_once
    def part(self):
        return build(self.number)

make = {"each": once, "attribute": lambda number: Thing(number).part}[sys.argv[1]]

thread = threading.Thread(target=make, args=(1,))
thread.start()
making.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(make(2))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
made.set()
"""


@pytest.mark.parametrize("which", ["each", "attribute"])
def test_a_child_waits_for_none_of_its_parent_s_threads(which: str) -> None:
    command = [sys.executable, "-P", "-W", "ignore", "-c", FORK, which]
    assert subprocess.check_output(command, text=True) == "2\n"


def test_arguments_by_name_are_the_same_in_any_order() -> None:
    made = OnceForEach(lambda **named: object())
    assert made(one=1, other=2) is made(other=2, one=1)
    assert made(one=1, other=2) is not made(one=2, other=1)
