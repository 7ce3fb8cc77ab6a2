"""Many files saved by one call: in order, by free names, and linked together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.base import ContentFile, File

from tahoestorage.backends import savingtogether
from tahoestorage.cache import WriteLock
from tahoestorage.exceptions import NameIsDirectory, NotAllSaved, ParentIsFile
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import directorychanges
from tahoestorage.tahoe.uploads import UploadBody
from tests.conftest import MakeStorage
from tests.support.proxy import (
    Action,
    CutBody,
    Hold,
    LoseResponse,
    Proxy,
    Refuse,
    Seen,
    SendResponse,
)

LONG = b"longer than a cap can hold " * 4
Make = Callable[..., Any]


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


def is_upload(seen: Seen) -> bool:
    return (seen.method, seen.target) == ("PUT", "/uri")


def pairs(names: list[str]) -> Iterator[tuple[str, File[Any]]]:
    for name in names:
        yield name, ContentFile(LONG + name.encode())


def numbered(count: int, directory: str = "dir") -> list[str]:
    return [f"{directory}/{number:04}.txt" for number in range(count)]


def read(storage: Any, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def broken(before: Callable[[], object] = int) -> File[Any]:
    class Broken(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield LONG
            before()
            raise OSError("the disk is gone")

    return Broken(LONG)


def held(done: threading.Event) -> File[Any]:
    class Held(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            assert done.wait(120)
            yield LONG

    return Held(LONG)


@pytest.fixture(autouse=True)
def no_batch_ends_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches end by their number of files alone, on slow machines, too."""
    monkeypatch.setattr(savingtogether, "SECONDS", 3600.0)


@pytest.fixture
def make(on_each_store: Make) -> Make:
    return on_each_store


def test_all_are_saved_and_yielded_in_order(make: Make) -> None:
    storage, names = make(), numbered(90)
    assert list(storage.save_many(pairs(names))) == names
    other = make(cache=False)
    assert sorted(other.listdir("dir")[1]) == [name[4:] for name in names]
    assert read(other, names[7]) == LONG + names[7].encode()
    assert storage.exists(names[0])


def test_a_taken_name_gets_another_and_nothing_is_overwritten(make: Make) -> None:
    storage, other = make(), make(cache=False)
    storage.save("dir/0000.txt", ContentFile(b"first"))
    # Of this one the storage's cache knows nothing.
    other.save("dir/0002.txt", ContentFile(b"of the other"))
    names = numbered(5)

    saved = list(storage.save_many(pairs([*names, names[1]])))

    assert [saved[3], saved[4]] == [names[3], names[4]]
    assert names[0] not in saved
    assert names[2] not in saved
    # Two of one name: either may come first.
    assert names[1] in (saved[1], saved[5])
    assert len(set(saved)) == 6
    assert read(other, "dir/0000.txt") == b"first"
    assert read(other, "dir/0002.txt") == b"of the other"
    for name, asked in zip(saved, [*names, names[1]], strict=True):
        assert read(other, name) == LONG + asked.encode()


def test_what_was_not_saved_is_told_and_the_rest_stays(make: Make) -> None:
    storage, names = make(), numbered(6)

    def some() -> Iterator[tuple[str, File[Any]]]:
        for name, content in pairs(names):
            yield name, broken() if name == names[3] else content

    yielded: list[str] = []
    with pytest.raises(NotAllSaved, match=r"dir/0003\.txt: not saved: .*disk") as info:
        yielded.extend(storage.save_many(some(), jobs=2))

    assert yielded == names[:3]
    assert {n: name for n, (name, _) in info.value.errors.items()} == {3: names[3]}
    there = [f"dir/{name}" for name in sorted(make(cache=False).listdir("dir")[1])]
    assert there == yielded + list(info.value.saved.values())


def test_nothing_is_begun_once_nobody_takes_the_names(make: Make) -> None:
    storage, taken = make(), []

    def endless() -> Iterator[tuple[str, File[Any]]]:
        for number in range(100_000):
            taken.append(number)
            yield f"dir/{number}.txt", ContentFile(LONG)

    names = storage.save_many(endless(), jobs=2)
    first = next(names)
    # While some are linked others are uploaded, as many as are linked at once.
    assert len(taken) <= savingtogether.FIRST + savingtogether.MOST
    names.close()
    assert read(make(cache=False), first) == LONG
    assert not [each for each in threading.enumerate() if "many_files" in each.name]


def test_names_that_mean_one_file_get_two(make: Make) -> None:
    storage = make()
    asked = ["dir/a.txt", "dir//a.txt", "./dir/a.txt", "dir/./a.txt"]
    saved = list(storage.save_many(pairs(asked)))
    other = make(cache=False)
    contents = {read(other, name) for name in saved}
    assert contents == {LONG + name.encode() for name in asked}


def test_a_name_that_is_none_is_told_as_the_others_are(make: Make) -> None:
    with pytest.raises(NotAllSaved) as info:
        list(make().save_many(pairs(["dir/a.txt", "../b.txt", "dir/c.txt"]), jobs=1))
    assert info.value.errors[1][0] == "../b.txt"


def test_where_no_name_is_given_it_is_the_content_s_as_for_save(make: Make) -> None:
    storage = make()
    named = [(None, ContentFile(LONG, name="dir/a.txt")) for _ in range(2)]
    first, second = storage.save_many(named, jobs=1)
    assert first == "dir/a.txt"
    assert second.startswith("dir/a_")
    assert not storage.exists("None")

    with pytest.raises(NotAllSaved) as info:
        list(storage.save_many([(None, ContentFile(LONG))]))
    assert info.value.errors[0][0] == ""
    assert not storage.exists("None")


def test_a_subclass_s_own_way_to_save_is_gone(make: Make) -> None:
    kind = type(make())

    class Counting(kind):  # type: ignore[misc,valid-type]
        count = 0

        def _save(self, name: str, content: Any) -> str:
            type(self).count += 1
            return str(super()._save(name, content))

    storage = make()
    storage.__class__ = Counting
    names = numbered(3)
    assert list(storage.save_many(pairs(names))) == names
    assert Counting.count == 3


def test_names_that_a_subclass_gives_are_those_it_gives_for_save(make: Make) -> None:
    kind = type(make())

    class Flat(kind):  # type: ignore[misc,valid-type]
        def get_available_name(self, name: str, max_length: int | None = None) -> str:
            flat = name.replace("/", "-")
            return str(super().get_available_name(flat, max_length))

    storage = make()
    storage.__class__ = Flat
    # A file has the name that the directory of the others would have.
    storage.save("a.pdf", ContentFile(LONG))
    saved = list(storage.save_many(pairs(["a.pdf/1.png", "a.pdf/2.png"])))
    assert saved == ["a.pdf-1.png", "a.pdf-2.png"]
    assert read(make(cache=False), saved[1]) == LONG + b"a.pdf/2.png"


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_are_at_least_one(make: Make, jobs: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        list(make().save_many([], jobs=jobs))
    assert list(make().save_many([])) == []


def test_with_allow_overwrite_they_are_replaced(make: Make) -> None:
    storage = make(allow_overwrite=True)
    storage.save("dir/0001.txt", ContentFile(b"before"))
    assert list(storage.save_many(pairs(numbered(3)))) == numbered(3)
    assert read(make(cache=False), "dir/0001.txt") == LONG + b"dir/0001.txt"


# On a grid


def test_many_are_linked_by_few_changes(far: TahoeStorage, proxy: Proxy) -> None:
    names = numbered(200)
    assert list(far.save_many(pairs(names))) == names
    # The directory is made with the first 64, and linked; 64 and 72 follow, or more
    # where they were uploaded meanwhile.
    assert sum(map(is_link, proxy.seen)) <= 1 + 2
    assert sum(map(is_upload, proxy.seen)) == 200
    proxy.clear()
    assert all(far.exists(name) and far.size(name) for name in names)
    assert proxy.seen == []


def test_many_are_replaced_by_few_changes(
    proxy: Proxy, make_storage: MakeStorage
) -> None:
    far = make_storage(base_url=proxy.url, allow_overwrite=True)
    names = numbered(60)
    list(far.save_many((name, ContentFile(b"before")) for name in names[:40]))
    proxy.clear()
    twice = [*pairs(names), (names[3], ContentFile(LONG + b"the later one"))]

    assert list(far.save_many(iter(twice))) == [*names, names[3]]

    assert sum(map(is_link, proxy.seen)) == 1
    fresh = make_storage(cache=False)
    for storage in (far, fresh):
        assert read(storage, names[3]) == LONG + b"the later one"
        assert read(storage, names[4]) == LONG + names[4].encode()
        assert len(storage.listdir("dir")[1]) == 60


def test_where_they_are_replaced_a_directory_is_not(
    make_storage: MakeStorage,
) -> None:
    storage = make_storage(allow_overwrite=True)
    storage.save("dir/sub/file", ContentFile(b"x"))
    names = ["dir/a", "dir/sub", "dir/b"]
    with pytest.raises(NotAllSaved) as info:
        list(storage.save_many(pairs(names)))
    ((name, error),) = info.value.errors.values()
    assert (name, type(error)) == ("dir/sub", NameIsDirectory)
    # What was before it was yielded, what is after it is saved all the same.
    assert info.value.saved == {2: "dir/b"}
    fresh = make_storage(cache=False)
    assert fresh.listdir("dir") == (["sub"], ["a", "b"])
    assert read(fresh, "dir/sub/file") == b"x"


@pytest.mark.parametrize(
    "action", [LoseResponse(), Refuse(), CutBody(0)], ids=["lost", "refused", "cut"]
)
def test_where_they_are_replaced_an_unclear_response_is_cleared_up(
    proxy: Proxy, make_storage: MakeStorage, action: Action
) -> None:
    far = make_storage(base_url=proxy.url, allow_overwrite=True)
    names = numbered(20)
    list(far.save_many((name, ContentFile(b"before")) for name in names))
    proxy.rule(is_link, action)
    assert list(far.save_many(pairs(names))) == names
    fresh = make_storage(cache=False)
    for storage in (far, fresh):
        assert all(read(storage, name) == LONG + name.encode() for name in names)


def test_large_files_are_safe_before_many_more_are_sent(
    far: TahoeStorage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file takes 12 seconds: at the fourth the first ones are linked, and yielded.

    The two after them, which are all that one job takes ahead, are not even uploaded.
    """
    clock, taken, done = [0.0], 0, threading.Event()
    time = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(savingtogether, "time", time)
    monkeypatch.setattr(savingtogether, "SECONDS", 30.0)

    def large() -> Iterator[tuple[str, File[Any]]]:
        nonlocal taken
        for name, content in pairs(numbered(8)):
            # Where the clock stands still, all others are one batch.
            clock[0] += 12 if taken < 4 else 0
            taken += 1
            yield name, content if taken <= 4 else held(done)

    saved = far.save_many(large(), jobs=1)
    assert next(saved) == "dir/0000.txt"
    assert taken <= 4 + 2
    done.set()
    assert len([*saved]) == 7
    # The first ones are in the directory when it is linked.
    assert sum(map(is_link, proxy.seen)) == 1 + 1


def test_when_the_time_is_up_one_slow_upload_holds_up_no_other(
    far: TahoeStorage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first upload goes on until others, which came later, are being linked."""
    clock, done = [0.0], threading.Event()
    time = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(savingtogether, "time", time)
    monkeypatch.setattr(savingtogether, "SECONDS", 30.0)
    link = proxy.rule(is_link, Hold(done))
    names = numbered(8)

    def some() -> Iterator[tuple[str, File[Any]]]:
        for number, (name, content) in enumerate(pairs(names)):
            # Four are under way at most: two that came later have been uploaded.
            clock[0] = 60.0 if number >= 5 else 0.0
            if number == 6:
                assert link.reached.wait(120)
                done.set()
            yield name, held(done) if number == 0 else content

    assert list(far.save_many(some(), jobs=2)) == names
    assert sum(map(is_link, proxy.seen)) == 2
    assert all(read(far, name) == LONG + name.encode() for name in names[1:])


def test_of_two_files_of_one_name_the_later_one_stays_where_the_first_is_slow(
    proxy: Proxy, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = make_storage(base_url=proxy.url, allow_overwrite=True)
    clock, done = [0.0], threading.Event()
    time = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(savingtogether, "time", time)
    monkeypatch.setattr(savingtogether, "SECONDS", 30.0)
    link = proxy.rule(is_link, Hold(done))
    names = ["dir/same.txt", "dir/same.txt", *numbered(6)]

    def some() -> Iterator[tuple[str, File[Any]]]:
        for number, (name, content) in enumerate(pairs(names)):
            # Four are under way at most: two that came later have been uploaded.
            clock[0] = 60.0 if number >= 5 else 0.0
            if number == 6:
                assert link.reached.wait(120)
                done.set()
            yield name, held(done) if number == 0 else content

    assert list(far.save_many(some(), jobs=2)) == names
    assert read(far, "dir/same.txt") == LONG + b"dir/same.txt"


def test_of_two_files_of_one_name_the_first_one_stays_where_the_later_one_fails(
    proxy: Proxy, make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = make_storage(base_url=proxy.url, allow_overwrite=True)
    clock, done = [0.0], threading.Event()
    time = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(savingtogether, "time", time)
    monkeypatch.setattr(savingtogether, "SECONDS", 30.0)
    link = proxy.rule(is_link, Hold(done))

    def release() -> None:
        link.reached.wait(120)
        done.set()

    late = threading.Thread(target=release)
    late.start()

    def some() -> Iterator[tuple[str, File[Any]]]:
        yield "dir/quick.txt", ContentFile(LONG)
        yield "dir/same.txt", held(done)
        clock[0] = 60.0  # It comes too late to be linked with the others.
        yield "dir/same.txt", broken()

    yielded: list[str] = []
    with pytest.raises(NotAllSaved, match="disk is gone") as info:
        yielded.extend(far.save_many(some(), jobs=2))
    late.join()

    assert [*info.value.errors] == [2]
    assert yielded == ["dir/quick.txt", "dir/same.txt"]
    assert read(far, "dir/same.txt") == LONG


def test_the_next_are_uploaded_while_a_batch_is_linked(
    far: TahoeStorage, proxy: Proxy
) -> None:
    """The response to a link is held until 100 more files were taken to be sent."""
    list(far.save_many(pairs(numbered(1))))
    proxy.clear()
    done = threading.Event()
    link = proxy.rule(is_link, Hold(done))
    names = numbered(200)[1:]

    def some() -> Iterator[tuple[str, File[Any]]]:
        for pair in pairs(names):
            if pair[0] == names[64 + 100]:
                assert link.reached.wait(120)
                assert sum(map(is_link, proxy.seen)) == 1
                done.set()
            yield pair

    assert list(far.save_many(some())) == names
    # What came meanwhile is linked by one change, and what came after it.
    assert sum(map(is_link, proxy.seen)) <= 1 + 2


def test_what_goes_wrong_while_others_are_linked_is_told_after_them(
    far: TahoeStorage, proxy: Proxy, make_storage: MakeStorage
) -> None:
    list(far.save_many(pairs(numbered(1))))
    done = threading.Event()
    link = proxy.rule(is_link, Hold(done))
    names = numbered(150)[1:]

    def fail() -> None:
        assert link.reached.wait(120)
        done.set()

    def some() -> Iterator[tuple[str, File[Any]]]:
        for name, content in pairs(names):
            yield name, broken(fail) if name == names[80] else content

    yielded: list[str] = []
    with pytest.raises(NotAllSaved, match="the disk is gone") as info:
        yielded.extend(far.save_many(some(), jobs=1))

    assert yielded == names[:80]
    assert {n: name for n, (name, _) in info.value.errors.items()} == {80: names[80]}
    there = make_storage(cache=False).listdir("dir")[1]
    assert len(there) == 1 + 80 + len(info.value.saved)


def test_an_interruption_leaves_no_link_half_made(
    far: TahoeStorage, proxy: Proxy, make_storage: MakeStorage
) -> None:
    """What is being linked is linked to the end, and what comes after it is not."""
    list(far.save_many(pairs(numbered(1))))
    done = threading.Event()
    link = proxy.rule(is_link, Hold(done))
    names = numbered(100)[1:]

    def some() -> Iterator[tuple[str, File[Any]]]:
        yield from pairs(names[:70])
        assert link.reached.wait(120)
        done.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(far.save_many(some()))

    assert not [each for each in threading.enumerate() if "many_files" in each.name]
    there = make_storage(cache=False).listdir("dir")[1]
    assert len(there) == 1 + 64
    assert [name for name in numbered(100) if far.exists(name)] == numbered(65)


def test_a_large_directory_is_written_once_for_many(
    far: TahoeStorage, proxy: Proxy
) -> None:
    """A cache that has listed it knows its size: that of a batch is no less."""
    cap = far.upload("x", UploadBody(lambda: [LONG], repeatable=True))
    assert not far.link_together(dict.fromkeys(numbered(150, "large"), cap))
    far.exists("large/x")
    proxy.clear()
    names = [name.replace(".txt", ".new") for name in numbered(100, "large")]
    assert list(far.save_many(pairs(names))) == names
    assert sum(map(is_link, proxy.seen)) == 1
    assert not [seen for seen in proxy.seen if "t=json" in seen.target]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_conflict_costs_only_its_own_name(
    proxy: Proxy, make_storage: MakeStorage, retries: int
) -> None:
    far = make_storage(base_url=proxy.url, retries=retries)
    other = make_storage(cache=False)
    names = numbered(60)
    list(far.save_many(pairs(names[:1])))
    proxy.clear()
    other.save(names[30], ContentFile(b"of the other"))

    saved = list(far.save_many(pairs(names[1:])))

    assert [name for name in names[1:] if name not in saved] == [names[30]]
    # All at once, all but one, and that one by another name.
    assert sum(map(is_link, proxy.seen)) == 3
    assert sum(map(is_upload, proxy.seen)) == 59
    assert read(other, names[30]) == b"of the other"


@pytest.mark.parametrize(
    "action",
    [
        LoseResponse(),
        Refuse(),
        CutBody(0),
        SendResponse(500, {}, b"Traceback\n  x\nOddError: odd"),
    ],
    ids=["lost", "refused", "cut", "no fault"],
)
def test_a_change_whose_response_is_unclear_is_made_once(
    far: TahoeStorage, proxy: Proxy, make_storage: MakeStorage, action: Action
) -> None:
    list(far.save_many(pairs(numbered(1))))
    proxy.rule(is_link, action)
    names = numbered(20)[1:]
    assert list(far.save_many(pairs(names))) == names
    other = make_storage(cache=False)
    assert sorted(other.listdir("dir")[1]) == [name[4:] for name in numbered(20)]
    assert all(far.exists(name) for name in names)


def test_while_the_grid_refuses_all_of_a_change_is_told(
    far: TahoeStorage, proxy: Proxy, make_storage: MakeStorage
) -> None:
    list(far.save_many(pairs(numbered(1))))
    proxy.rule(is_link, SendResponse(500, {}, b"OddError: odd"), times=None)
    names = numbered(4)[1:]
    with pytest.raises(NotAllSaved) as info:
        list(far.save_many(pairs(names)))
    assert [name for name, _ in info.value.errors.values()] == names
    assert info.value.saved == {}
    assert make_storage(cache=False).listdir("dir")[1] == ["0000.txt"]


def test_several_directories_and_what_is_in_the_way(storage: TahoeStorage) -> None:
    storage.save("file", ContentFile(b"x"))
    names = [f"{n % 3}/deep/{n}.txt" for n in range(9)]
    assert list(storage.save_many(pairs(names))) == names
    with pytest.raises(NotAllSaved) as info:
        list(storage.save_many(pairs(["0/deep/a", "file/b", "1/deep/c"])))
    name, error = info.value.errors[1]
    assert (name, type(error)) == ("file/b", ParentIsFile)
    assert info.value.saved in ({}, {2: "1/deep/c"})


def test_two_at_once_in_a_new_directory_lose_nothing(make_storage: MakeStorage) -> None:
    results: dict[int, list[str]] = {}

    def run(number: int) -> None:
        storage = make_storage()
        results[number] = list(storage.save_many(pairs(numbered(70)), jobs=3))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    names = results[0] + results[1]
    assert len(set(names)) == 140
    assert len(make_storage(cache=False).listdir("dir")[1]) == 140


def test_what_a_locked_directory_lost_is_linked_again(
    storage: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that was lost says nothing: what is there is read."""
    list(storage.save_many(pairs(numbered(1))))
    lost = iter([True, False])

    class Lock(WriteLock):
        def __enter__(self) -> Lock:
            self.lost = next(lost)
            return self

    monkeypatch.setattr(
        storage.directories.cache, "lock", lambda *arguments, **given: Lock()
    )
    monkeypatch.setattr(directorychanges, "lost_lock_warning", os)
    monkeypatch.setattr(os, "log", lambda label: None, raising=False)
    names = numbered(5)[1:]
    assert list(storage.save_many(pairs(names))) == names
