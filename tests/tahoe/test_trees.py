"""Directories that are missing on the way to a file: made whole, and then linked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.exceptions import (
    GatewayTimeout,
    GatewayUnreachable,
    NameTaken,
    ParentIsFile,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, Kind, literal_cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.proxy import (
    Action,
    CutBody,
    HoldRequest,
    LoseResponse,
    Proxy,
    Refuse,
    Seen,
    SendResponse,
)

LONG = b"longer than a cap can hold " * 4
DEEP = "one/two/three/four/five/file.bin"


@pytest.fixture
def background() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


@pytest.fixture
def other(make_storage: MakeStorage) -> TahoeStorage:
    """A storage of another host, with the same root."""
    return make_storage(cache=False)


def save(storage: TahoeStorage, name: str, content: bytes = LONG) -> str:
    return storage.save(name, ContentFile(content))


def raw(grid: LocalGrid, root: Cap, path: str) -> dict[str, Any]:
    """Return what the gateway says is in a directory."""
    url = f"{grid.base_url}/uri/{quote(root.uri, safe='')}/{quote(path)}?t=json"
    children: dict[str, Any] = requests.get(url, timeout=30).json()[1]["children"]
    return children


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


def is_tree(seen: Seen) -> bool:
    return seen.target.startswith("/uri?t=mkdir")


def count(proxy: Proxy, matches: Callable[[Seen], bool]) -> int:
    return sum(map(matches, proxy.seen))


@pytest.mark.parametrize("layout", ["SDMF", "MDMF"])
def test_no_directory_on_the_way_is_ever_empty(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, root: Cap, layout: str
) -> None:
    storage = make_storage(directory_format=layout)
    assert save(storage, DEEP) == DEEP
    *parents, name = DEEP.split("/")
    kind = Kind.DIR2 if layout == "SDMF" else Kind.DIR2_MDMF
    for length, below in enumerate([*parents, name]):
        children = raw(tahoe_grid, root, "/".join(parents[:length]))
        assert set(children) == {marker.NAME, below}
        if below != name:
            assert Cap.parse(children[below][1]["rw_uri"]).kind is kind


def test_links_have_the_times_of_their_making(
    storage: TahoeStorage, make_storage: MakeStorage
) -> None:
    before = time.time()
    save(storage, DEEP)
    after = time.time()
    for each in (storage, make_storage(cache=False)):
        for name in (DEEP, "one", "one/two/three"):
            for when in (each.get_created_time(name), each.get_modified_time(name)):
                assert before - 1 <= when.timestamp() <= after + 1


def test_a_first_save_six_levels_deep_is_one_tree_and_one_link(
    storage: TahoeStorage,
) -> None:
    storage.listdir("")
    with requests_sent() as sent:
        save(storage, DEEP)
    # The directories are made while the file is uploaded.
    assert sorted(sent.verbs) == [*["POST"] * 6, "PUT"]
    assert ["t=set_children" in line for line in sent] == [False] * 6 + [True]


@pytest.mark.parametrize(
    "name", ["one/two/three/four/five/b", "one/two/b", "one/new/b"]
)
def test_what_was_just_made_needs_no_look(storage: TahoeStorage, name: str) -> None:
    storage.listdir("")
    save(storage, DEEP)
    made = ["POST"] * name.count("new")
    with requests_sent() as sent:
        save(storage, name)
        assert storage.exists(DEEP)
        assert storage.size(DEEP) == len(LONG)
        assert not storage.exists("one/two/missing")
        assert storage.listdir("one/two/three/four") == (["five"], [])
    assert sent.verbs == ["PUT", *made, "POST"]


def test_a_cold_cache_asks_for_the_path_and_then_where_it_ends(
    storage: TahoeStorage,
) -> None:
    with requests_sent() as sent:
        save(storage, DEEP)
    # The first is Django's, for a name that is free. Where the path ends is asked while
    # the file is uploaded, and the directories are made then.
    assert sent.verbs[0] == "GET"
    assert sorted(sent.verbs) == [*["GET"] * 2, *["POST"] * 6, "PUT"]
    assert "t=set_children" in sent[-1]


THEIRS = [
    "one/theirs",
    "one/two/theirs",
    "one/two/three/four/theirs",
    "one/two/three/four/five/theirs",
    DEEP,
]


@pytest.mark.parametrize("name", THEIRS)
def test_what_others_have_made_meanwhile_is_gone_down_into(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    background: Callable[..., Future[Any]],
    name: str,
) -> None:
    """Their tree is linked after ours was made, and before it is linked."""
    may_link = threading.Event()
    linking = proxy.rule(is_link, HoldRequest(may_link))
    saving = background(save, far, DEEP)
    assert linking.reached.wait(60)
    assert save(other, name, b"theirs") == name
    may_link.set()
    mine = saving.result(60)
    assert (mine == DEEP) == (name != DEEP)
    for storage in (far, other):
        assert storage.open(mine).read() == LONG
        assert storage.open(name).read() == b"theirs"
    # What was made is used: nothing is made twice.
    assert count(proxy, is_tree) == 5


def test_a_file_in_the_way_that_came_meanwhile_is_told(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    background: Callable[..., Future[Any]],
) -> None:
    may_link = threading.Event()
    linking = proxy.rule(is_link, HoldRequest(may_link))
    saving = background(save, far, DEEP)
    assert linking.reached.wait(60)
    save(other, "one", b"a file")
    may_link.set()
    with pytest.raises(ParentIsFile, match=r"^one: a file is where"):
        saving.result(60)
    assert other.listdir("") == ([], ["one"])


@pytest.mark.parametrize("action", [LoseResponse(), CutBody(0), Refuse()])
def test_a_tree_is_linked_once_whatever_the_response(
    far: TahoeStorage, other: TahoeStorage, proxy: Proxy, action: Action
) -> None:
    proxy.rule(is_link, action)
    assert save(far, DEEP) == DEEP
    assert other.open(DEEP).read() == LONG
    assert count(proxy, is_tree) == 5
    with requests_sent() as sent:
        assert far.size(DEEP) == len(LONG)
    assert sent == []


def test_a_tree_that_can_not_be_made_leaves_nothing(
    far: TahoeStorage, other: TahoeStorage, proxy: Proxy
) -> None:
    proxy.rule(
        lambda seen: is_tree(seen) and count(proxy, is_tree) > 3, Refuse(), times=None
    )
    with pytest.raises(GatewayUnreachable, match=r"^one/two"):
        save(far, DEEP)
    assert other.listdir("") == ([], [])
    proxy.clear()
    assert save(far, DEEP) == DEEP


def caps_of(*names: str) -> dict[str, Cap]:
    return {name: literal_cap(name.encode()) for name in names}


def test_files_linked_together_are_made_with_their_directory(
    far: TahoeStorage, other: TahoeStorage, proxy: Proxy
) -> None:
    far.listdir("")
    proxy.seen.clear()
    caps = caps_of("one/two/a", "one/two/b", "one/two/c")
    assert far.link_together(caps) == {}
    with requests_sent() as sent:
        assert far.listdir("one/two") == ([], ["a", "b", "c"])
    assert sent == []
    for name in caps:
        assert other.open(name).read() == name.encode()
    # Two directories, by keys that the gateway need not make, and the link to them.
    assert [count(proxy, is_tree), count(proxy, is_link)] == [2, 1]
    assert all("private-key=" in seen.target for seen in proxy.seen if is_tree(seen))


@pytest.mark.parametrize("action", [LoseResponse(), Refuse()])
def test_a_directory_that_is_not_made_by_a_key_is_made_by_another(
    far: TahoeStorage, other: TahoeStorage, proxy: Proxy, action: Action
) -> None:
    proxy.rule(is_tree, action)
    assert far.link_together(caps_of("one/a", "one/b")) == {}
    assert other.listdir("one") == ([], ["a", "b"])
    assert count(proxy, is_tree) == 2


def test_where_others_have_made_the_directory_only_what_they_have_taken_is_refused(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    background: Callable[..., Future[Any]],
) -> None:
    may_link = threading.Event()
    linking = proxy.rule(is_link, HoldRequest(may_link))
    caps = caps_of("one/two/a", "one/two/b", "one/two/c")
    linked = background(far.link_together, caps)
    assert linking.reached.wait(60)
    save(other, "one/two/b", b"theirs")
    may_link.set()
    errors = linked.result(60)
    assert {name: type(error) for name, error in errors.items()} == {
        "one/two/b": NameTaken
    }
    for storage in (far, other):
        assert storage.listdir("one/two") == ([], ["a", "b", "c"])
        assert storage.open("one/two/b").read() == b"theirs"
        assert storage.open("one/two/c").read() == b"one/two/c"


def test_of_many_threads_one_makes_a_tree_and_the_others_wait(
    storage: TahoeStorage,
) -> None:
    together = threading.Barrier(16)

    def first(number: int) -> str:
        together.wait()
        # Two places: who makes the one waits for nobody at the other.
        return save(storage, f"{number % 2}/b/c/{number}", b"x")

    with requests_sent() as sent, ThreadPoolExecutor(16) as pool:
        names = list(pool.map(first, range(16)))
    assert names == [f"{number % 2}/b/c/{number}" for number in range(16)]
    assert sum("t=mkdir" in line for line in sent) == 2 * 3
    assert sum("t=set_children" in line for line in sent) == 16


def test_whoever_makes_one_path_does_not_keep_another_waiting(
    far: TahoeStorage, proxy: Proxy, background: Callable[..., Future[Any]]
) -> None:
    may_make = threading.Event()
    making = proxy.rule(is_tree, HoldRequest(may_make))
    slow = background(save, far, "slow/a")
    assert making.reached.wait(60)
    assert save(far, "quick/a") == "quick/a"
    assert not slow.done()
    may_make.set()
    assert slow.result(60) == "slow/a"


def test_a_gateway_that_is_away_while_one_makes_a_tree_lets_the_next_try(
    far: TahoeStorage, proxy: Proxy, background: Callable[..., Future[Any]]
) -> None:
    """Who waits for somebody that fails does not fail too."""
    may_fail = threading.Event()
    first = proxy.rule(is_tree, HoldRequest(may_fail))
    response = SendResponse(500, {}, b"Traceback\n  x\nOddError: odd")
    saving = [background(save, far, "a/b/one")]
    assert first.reached.wait(60)
    saving.append(background(save, far, "a/b/two"))
    # One is prepared, and each other one is tried three times.
    proxy.rule(is_tree, response, times=4)
    may_fail.set()
    # The tree is made by whoever's file is there first.
    errors = [save.exception(60) for save in saving]
    assert [isinstance(error, OSError) for error in errors].count(True) == 1, errors
    assert "OddError" in str(errors)
    saved = zip(["one", "two"], errors, strict=True)
    assert far.listdir("a/b") == ([], [name for name, error in saved if error is None])


def test_whoever_waits_for_too_long_for_somebody_else_s_tree_is_told(
    far: TahoeStorage,
    proxy: Proxy,
    background: Callable[..., Future[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is prepared is waited for as long, and made anew then.
    far.links.preparations.is_on = False
    may_make = threading.Event()
    making = proxy.rule(is_tree, HoldRequest(may_make))
    slow = background(save, far, "a/b/one")
    assert making.reached.wait(60)
    monkeypatch.setattr(Gateway, "request_seconds", 0.1)
    with pytest.raises(GatewayTimeout, match=r"^a: another thread has been making"):
        save(far, "a/b/two")
    # Of another place it says nothing, and the lock is as it was.
    assert save(far, "other/b") == "other/b"
    monkeypatch.undo()
    may_make.set()
    assert slow.result(60) == "a/b/one"
    assert save(far, "a/b/two") == "a/b/two"
    assert count(proxy, is_tree) == 3
