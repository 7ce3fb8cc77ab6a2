"""What is known is answered from memory, however deep it lies: with one small read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tahoestorage.cache import localtiers, pages
from tahoestorage.cache.localtiers import LocalTiers
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.directories import Directory
from tests.conftest import MakeStorage
from tests.support.costs import Costs, costs_counted

LEVELS = ("one", "two", "three", "four", "five", "six")
VERBS = ("exists", "size", "url", "get_modified_time")
LONG = b"longer than a cap can hold " * 4


@pytest.fixture
def costs() -> Iterator[Costs]:
    with costs_counted() as counted:
        yield counted


def cost(costs: Costs, ask: Callable[[str], object], names: list[str]) -> list[int]:
    """Ask for each name; return how many reads, queries and sends that took."""
    costs.taken()
    for name in names:
        ask(name)
    return costs.taken()


@pytest.fixture(params=[1, 3, 6])
def folder(request: pytest.FixtureRequest) -> str:
    """The path of a directory, so many levels down."""
    return "/".join(LEVELS[: request.param])


def other(make_storage: MakeStorage, tmp_path: Path) -> TahoeStorage:
    """Return the storage of a process that writes nothing: with its own memory."""
    cache = {"directory": str(tmp_path / "cache"), "memory_entries": 9_999}
    return make_storage(cache=cache)


def fill(storage: TahoeStorage, folder: str, count: int) -> list[str]:
    names = [f"{folder}/{number}.jpg" for number in range(count)]
    storage.save(names[0], ContentFile(LONG))
    for name in names[1:]:
        storage.copy(names[0], name)
    return names


def test_a_known_name_costs_one_small_read_and_no_query(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tmp_path: Path,
    costs: Costs,
    folder: str,
) -> None:
    names = fill(storage, folder, 40)
    for each in (storage, other(make_storage, tmp_path)):
        for verb in VERBS:
            ask = getattr(each, verb)
            cost(costs, ask, names)
            assert cost(costs, ask, names) == [len(names), 0, 0], verb


def test_names_that_are_missing_cost_no_more(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tmp_path: Path,
    costs: Costs,
    folder: str,
) -> None:
    fill(storage, folder, 40)
    nowhere = [
        f"{path}/{number}"
        for path in (folder, f"{folder}/none", "none", f"{folder}/0.jpg", "a/b/c/d/e/f")
        for number in range(20)
    ]
    for each in (storage, other(make_storage, tmp_path)):
        assert not any(each.exists(name) for name in nowhere)
        assert cost(costs, each.exists, nowhere) == [len(nowhere), 0, 0]


def test_a_change_elsewhere_costs_a_look_at_the_directories_on_the_way(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path, costs: Costs
) -> None:
    folder = "/".join(LEVELS)
    names = fill(storage, folder, 40)
    reader = other(make_storage, tmp_path)
    for each in (storage, reader):
        cost(costs, each.exists, names)
    storage.save("elsewhere/file", ContentFile(LONG))
    storage.save("elsewhere/file", ContentFile(LONG))
    for each in (storage, reader):
        # The root was changed, and so its page is read again.
        cost(costs, each.exists, names)
    storage.save("elsewhere/file", ContentFile(LONG))
    for each in (storage, reader):
        reads, *rest = cost(costs, each.exists, names)
        assert rest == [0, 0]
        # Two for each of the seven directories, and for each page of the last one.
        assert reads <= len(names) + 2 * 7 + 2 * 8
        assert cost(costs, each.exists, names) == [len(names), 0, 0]


def test_a_name_is_known_no_longer_than_the_way_to_it(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path, costs: Costs
) -> None:
    names = fill(storage, "one/two/three", 3)
    cost(costs, storage.exists, names)
    assert cost(costs, storage.exists, names)[1:] == [0, 0]
    elsewhere = other(make_storage, tmp_path).directories
    way = elsewhere.cached(("one",))
    assert isinstance(way, Directory)
    # As whoever moves the directory "two" would.
    elsewhere.cache.forget(way.namespace)
    assert cost(costs, storage.exists, names)[2] > 0
    assert cost(costs, storage.exists, names)[1:] == [0, 0]


def test_a_listing_that_is_shorter_by_now_leaves_nothing_of_the_one_before(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    """A directory of 17 names has two pages, one of 16 has one, with another key."""
    names = fill(storage, "dir", 17)
    reader = make_storage(cache={"directory": str(tmp_path / "of another host")})
    assert [reader.size(name) for name in names] == [len(LONG)] * 17
    assert [reader.size(name) for name in names] == [len(LONG)] * 17
    for name in names:
        storage.delete(name)
        with reader.prefetch("dir/"):
            assert not reader.exists(name)
        if name != names[-1]:
            assert reader.exists(names[-1])


def test_known_names_hold_no_page_that_memory_has_dropped(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    names = [name for n in range(8) for name in fill(storage, f"{n}", 10)]
    cache = {"directory": str(tmp_path / "cache"), "memory_entries": 40}
    reader = make_storage(cache=cache)
    for _ in range(2):
        assert all(reader.size(name) for name in names)
    memory = reader.directories.cache._tiers.memory
    held = {id(page) for page in memory._pages.values()}
    mine = list(reader.directories.cache._files._values.values())
    assert mine
    assert {id(each.page()) for each in mine if each.page() is not None} <= held


def test_a_page_from_disk_costs_one_query_and_the_directory_two_numbers(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path, costs: Costs
) -> None:
    names = fill(storage, "dir", 40)
    cache = {"directory": str(tmp_path / "of another host")}
    assert make_storage(cache=cache).exists(names[0])
    reader = make_storage(cache={**cache, "memory_entries": 9_999})
    # The second time, the root's listing is known, and under which header.
    assert reader.exists("dir")
    assert reader.exists("dir")
    reads, queries, sends = cost(costs, reader.exists, names)
    # Four pages, and the one that says so.
    assert (queries, sends) == (4 + 1, 0)
    # The header for each name; of the directory the generation and the epoch, once.
    assert reads == len(names) + 4


def test_what_another_process_forgets_is_not_read_from_disk_again(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path, costs: Costs
) -> None:
    names = fill(storage, "dir", 3)
    reader = other(make_storage, tmp_path)
    _, queries, sends = cost(costs, reader.exists, names)
    assert queries > 0
    assert sends == 0
    directory = storage.directories.cached(("dir",))
    assert isinstance(directory, Directory)
    storage.directories.cache.forget(directory.namespace)
    assert cost(costs, reader.exists, names)[2] > 0
    assert cost(costs, reader.exists, names)[1:] == [0, 0]


def test_of_a_page_from_disk_exists_reads_no_entry(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = fill(storage, "dir", 2)
    reader = other(make_storage, tmp_path)
    assert reader.exists("dir")
    # Of files: the way there leads by a directory.
    parsed: list[bytes] = []
    usual = pages._entry

    def parse(value: bytes) -> Any:
        if value.startswith(b'["f"'):
            parsed.append(value)
        return usual(value)

    monkeypatch.setattr(pages, "_entry", parse)
    assert reader.exists(first)
    assert parsed == []
    # Whoever asks for more gets what was saved, and so does who asks again.
    assert reader.size(first) == len(LONG)
    assert reader.exists(second)
    assert reader.exists(second)
    assert reader.size(second) == len(LONG)
    assert len(parsed) == 2


def test_what_another_process_changes_is_seen_at_every_level(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    reader = other(make_storage, tmp_path)
    for levels in range(1, 7):
        name = "/".join((*LEVELS[:levels], "file"))
        assert not reader.exists(name)
        storage.save(name, ContentFile(LONG))
        assert reader.exists(name)
        assert reader.size(name) == len(LONG)
        storage.delete(name)
        assert not reader.exists(name)


def test_what_memory_has_no_room_for_costs_one_query(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tmp_path: Path,
    costs: Costs,
    folder: str,
) -> None:
    names = fill(storage, folder, 10)
    # Room for where the path leads, and for no page of ten names.
    cache = {"directory": str(tmp_path / "cache"), "memory_entries": 5}
    reader = make_storage(cache=cache)
    for verb in VERBS:
        ask = getattr(reader, verb)
        cost(costs, ask, names)
        reads, queries, sends = cost(costs, ask, names)
        assert (queries, sends) == (len(names), 0), verb
        # The header, and the directory's two numbers, each with the file's name.
        assert reads <= 5 * len(names)


def test_a_first_look_costs_one_query_for_each_page_on_the_way(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tmp_path: Path,
    costs: Costs,
    folder: str,
) -> None:
    names = fill(storage, folder, 20)
    reader = other(make_storage, tmp_path)
    # It opens the database, and knows the root after that.
    reader.exists("none")
    levels = folder.count("/") + 1
    assert cost(costs, reader.exists, names[:1])[1:] == [levels, 0]
    assert cost(costs, reader.exists, names[:1])[1:] == [0, 0]


def test_a_first_look_at_what_was_listed_costs_as_little_at_every_depth(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tmp_path: Path,
    costs: Costs,
    folder: str,
) -> None:
    names = fill(storage, folder, 20)
    # Another host, of which one process lists the directory before the other asks.
    cache = {"directory": str(tmp_path / "host")}
    make_storage(cache=cache).listdir(folder)
    reader = make_storage(cache={**cache, "memory_entries": 9_999})
    # It opens the database, and knows the root after that.
    reader.exists("none")
    # No listing of those on the way is there, but where the path leads.
    queries, sends = cost(costs, reader.exists, names[:1])[1:]
    assert sends == 0
    assert queries <= 4
    assert cost(costs, reader.exists, names[:1])[1:] == [0, 0]


def test_a_known_name_is_found_without_its_way(
    storage: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page is looked at, neither of the directories on the way nor of its own."""
    looked: list[bytes] = []
    usual = LocalTiers.page

    def page(self: LocalTiers, scope: Any, key: bytes, *rest: Any, **more: Any) -> Any:
        looked.append(key)
        return usual(self, scope, key, *rest, **more)

    costs: dict[int, int] = {}
    monkeypatch.setattr(localtiers, "LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(LocalTiers, "page", page)
    for levels in (1, 6):
        names = fill(storage, "/".join(LEVELS[:levels]), 3)
        for _ in range(2):
            looked.clear()
            assert all(storage.exists(name) for name in names)
        costs[levels] = len(looked)
    assert costs == {1: 0, 6: 0}
