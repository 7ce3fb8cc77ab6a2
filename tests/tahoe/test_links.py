"""Changes to directories when answers are lost, late or unclear: done once, or told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.exceptions import (
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    NameTaken,
    NotEnoughShares,
    UnexpectedResponse,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.directories import Directory
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.leaks import assert_hides_caps
from tests.support.proxy import (
    Action,
    CutBody,
    Hold,
    HoldRequest,
    LoseResponse,
    Proxy,
    Refuse,
    Rule,
    Seen,
    SendResponse,
    Stall,
)

Tree = dict[str, Any]


pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def other(make_storage: MakeStorage) -> TahoeStorage:
    """A storage of another host, with the same root."""
    return make_storage(cache=False)


@pytest.fixture
def tree(tahoe_grid: LocalGrid, root: Cap) -> Callable[[], Tree]:
    """What is below the root, asked of the gateway without any of our code."""

    def below(cap: str) -> Tree:
        url = f"{tahoe_grid.base_url}/uri/{cap}"
        children = requests.get(f"{url}?t=json", timeout=30).json()[1]["children"]
        return {
            name: below(child["ro_uri"])
            if kind == "dirnode"
            else requests.get(
                f"{tahoe_grid.base_url}/uri/{child['ro_uri']}", timeout=30
            ).content
            for name, (kind, child) in children.items()
            if name != marker.NAME
        }

    return lambda: below(root.uri)


@pytest.fixture
def background() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


def is_mkdir(seen: Seen) -> bool:
    return "t=mkdir" in seen.target


def is_unlink(seen: Seen) -> bool:
    return seen.method == "DELETE"


def is_listing(seen: Seen) -> bool:
    return "t=json" in seen.target and seen.target != "/?t=json"


def count(proxy: Proxy, matches: Callable[[Seen], bool]) -> int:
    return sum(map(matches, proxy.seen))


def save(storage: TahoeStorage, name: str, content: bytes = b"mine") -> str:
    return storage.save(name, ContentFile(content))


def reached(rule: Rule) -> None:
    assert rule.reached.wait(60)


UNCLEAR: dict[str, Action] = {
    "lost": LoseResponse(),
    "refused": Refuse(),
    "cut": CutBody(0),
    "a fault that was none": SendResponse(500, {}, b"Traceback\n  x\nOddError: odd"),
}
unclear = pytest.mark.parametrize("action", UNCLEAR.values(), ids=UNCLEAR)


# Linking


@pytest.mark.parametrize(
    ("action", "links"), [(LoseResponse(), 1), (CutBody(3), 1), (Refuse(), 2)]
)
def test_a_link_without_a_response_is_made_once(
    far: TahoeStorage,
    proxy: Proxy,
    tree: Callable[[], Tree],
    action: Action,
    links: int,
) -> None:
    proxy.rule(is_link, action)
    assert save(far, "a") == "a"
    assert tree() == {"a": b"mine"}
    assert count(proxy, is_link) == links
    assert far.exists("a")
    assert far.size("a") == 4


def test_a_link_of_which_no_response_ever_comes_is_found_by_its_token(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    proxy.rule(is_link, LoseResponse(), times=None)
    assert [save(far, "a"), save(far, "b")] == ["a", "b"]
    assert tree() == {"a": b"mine", "b": b"mine"}


def test_a_response_that_comes_too_late_is_not_needed(
    make_storage: MakeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    hasty = make_storage(base_url=proxy.url, read_timeout=4, retries=1)
    proxy.rule(is_link, Stall(30))
    assert save(hasty, "a") == "a"
    assert tree() == {"a": b"mine"}
    assert count(proxy, is_link) == 1


def test_a_link_that_is_made_late_is_not_taken_for_somebody_elses(
    make_storage: MakeStorage,
    proxy: Proxy,
    tree: Callable[[], Tree],
    background: Callable[..., Future[Any]],
) -> None:
    """The first request is carried out after we looked, and before the second."""
    hasty = make_storage(base_url=proxy.url, read_timeout=4, retries=2)
    first_may, second_may = threading.Event(), threading.Event()
    first = proxy.rule(is_link, HoldRequest(first_may))
    second = proxy.rule(is_link, HoldRequest(second_may))
    saving = background(save, hasty, "a")
    reached(first)
    reached(second)
    first_may.set()
    late = next(seen for seen in proxy.seen if is_link(seen))
    while late.status is None:
        time.sleep(0.01)
    second_may.set()
    assert saving.result(60) == "a"
    assert tree() == {"a": b"mine"}
    first_status, *others = [seen.status for seen in proxy.seen if is_link(seen)]
    assert first_status == 200
    assert set(others) == {409}


@pytest.mark.parametrize("content", [b"theirs", b"mine"], ids=["other", "equal"])
def test_a_name_that_somebody_else_took_meanwhile_is_theirs(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    tree: Callable[[], Tree],
    background: Callable[..., Future[Any]],
    content: bytes,
) -> None:
    may_look = threading.Event()
    assert far.listdir("") == ([], [])
    proxy.rule(is_link, Refuse())
    looking = proxy.rule(is_listing, HoldRequest(may_look))
    saving = background(save, far, "a.txt")
    reached(looking)
    assert save(other, "a.txt", content) == "a.txt"
    may_look.set()
    name = saving.result(60)
    assert name != "a.txt"
    assert tree() == {"a.txt": content, name: b"mine"}


def test_a_link_that_may_or_may_not_be_there_is_told_and_then_looked_up(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree], root: Cap
) -> None:
    assert far.listdir("") == ([], [])
    proxy.rule(is_link, LoseResponse())
    proxy.rule(is_listing, Refuse(), times=3)
    with pytest.raises(GatewayUnreachable) as caught:
        save(far, "photos.txt")
    assert_hides_caps(caught.value, root, root.read_only)
    assert tree() == {"photos.txt": b"mine"}
    assert far.exists("photos.txt")
    assert far.open("photos.txt").read() == b"mine"


def test_a_name_that_comes_and_goes_is_told_after_some_attempts(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    proxy.rule(is_link, SendResponse(409, {}, b"There was already a child"), times=None)
    links = far.links
    with pytest.raises(NameTaken, match="a comes and goes"):
        links.add(("a",), Cap.parse("URI:LIT:nu"))
    assert count(proxy, is_link) == 3
    assert tree() == {}


def test_an_error_that_stays_is_told_with_the_name(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree], root: Cap
) -> None:
    trace = f"Traceback\n  x\nOddError: {root.uri} is odd"
    proxy.rule(is_link, SendResponse(500, {}, trace.encode()), times=None)
    with pytest.raises(UnexpectedResponse, match=r"^a\.jpg: .*OddError") as caught:
        save(far, "a.jpg")
    assert_hides_caps(caught.value, root, root.read_only)
    assert count(proxy, is_link) == 3
    assert tree() == {}
    assert not far.exists("a.jpg")


def test_overwriting_without_a_response_is_done_once(
    make_storage: MakeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    storage = make_storage(base_url=proxy.url, allow_overwrite=True)
    save(storage, "a", b"old")
    proxy.clear()
    proxy.rule(is_link, LoseResponse())
    assert save(storage, "a", b"new") == "a"
    assert tree() == {"a": b"new"}
    assert count(proxy, is_link) == 1
    assert storage.open("a").read() == b"new"


# Directories


@unclear
def test_a_directory_is_made_once_though_the_response_is_unclear(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree], action: Action
) -> None:
    proxy.rule(is_mkdir, action)
    assert save(far, "x/y/a") == "x/y/a"
    assert save(far, "x/y/b") == "x/y/b"
    assert tree() == {"x": {"y": {"a": b"mine", "b": b"mine"}}}


def test_a_directory_that_somebody_else_makes_meanwhile_is_used(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    tree: Callable[[], Tree],
    background: Callable[..., Future[Any]],
) -> None:
    may_make = threading.Event()
    making = proxy.rule(is_mkdir, HoldRequest(may_make))
    saving = background(save, far, "x/y/a")
    reached(making)
    save(other, "x/y/b", b"theirs")
    may_make.set()
    assert saving.result(60) == "x/y/a"
    assert tree() == {"x": {"y": {"a": b"mine", "b": b"theirs"}}}


def test_directories_that_can_not_be_made_are_told(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree], root: Cap
) -> None:
    proxy.rule(is_mkdir, Refuse(), times=None)
    with pytest.raises(GatewayUnreachable, match=r"^x: no response") as caught:
        save(far, "x/a")
    assert_hides_caps(caught.value, root, root.read_only)
    assert count(proxy, is_mkdir) == 3
    assert tree() == {}
    proxy.clear()
    assert save(far, "x/a") == "x/a"


# Unlinking


@unclear
def test_a_file_is_deleted_though_the_response_is_unclear(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree], action: Action
) -> None:
    save(far, "a")
    save(far, "b")
    proxy.rule(is_unlink, action)
    far.delete("a")
    assert tree() == {"b": b"mine"}


def test_a_file_that_is_gone_already_is_not_deleted_twice(
    far: TahoeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    save(far, "a")
    proxy.rule(is_unlink, LoseResponse(), times=None)
    far.delete("a")
    assert count(proxy, is_unlink) == 1
    assert not far.exists("a")
    assert tree() == {}


def test_a_file_that_was_saved_anew_after_an_unclear_response_stays(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    tree: Callable[[], Tree],
    background: Callable[..., Future[Any]],
) -> None:
    save(far, "a")
    may_look = threading.Event()
    unlinking = proxy.rule(is_unlink, LoseResponse())
    looking = proxy.rule(
        lambda seen: is_listing(seen) and unlinking.reached.is_set(),
        HoldRequest(may_look),
    )
    deleting = background(far.delete, "a")
    reached(looking)
    assert save(other, "a", b"mine") == "a"
    may_look.set()
    deleting.result(60)
    assert count(proxy, is_unlink) == 1
    assert tree() == {"a": b"mine"}


def test_a_file_that_somebody_else_deletes_meanwhile_is_no_error(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    tree: Callable[[], Tree],
    background: Callable[..., Future[Any]],
) -> None:
    save(far, "a")
    may_unlink = threading.Event()
    unlinking = proxy.rule(is_unlink, HoldRequest(may_unlink))
    deleting = background(far.delete, "a")
    reached(unlinking)
    other.delete("a")
    may_unlink.set()
    deleting.result(60)
    assert tree() == {}


def test_a_deletion_that_may_or_may_not_be_done_is_told(
    far: TahoeStorage, proxy: Proxy, root: Cap
) -> None:
    save(far, "a")
    unlinking = proxy.rule(is_unlink, LoseResponse())
    proxy.rule(
        lambda seen: is_listing(seen) and unlinking.reached.is_set(), Refuse(), times=3
    )
    with pytest.raises(GatewayUnreachable) as caught:
        far.delete("a")
    assert_hides_caps(caught.value, root, root.read_only)
    assert not far.exists("a")
    far.delete("a")


# Looking


def test_a_lost_listing_is_asked_for_again(far: TahoeStorage, proxy: Proxy) -> None:
    save(far, "a")
    proxy.clear()
    far.directories.cache.forget(far.directories.root.namespace)
    proxy.rule(is_listing, LoseResponse())
    proxy.rule(is_listing, Refuse())
    assert far.listdir("") == ([], ["a"])
    assert count(proxy, is_listing) == 3


ERRORS: dict[str, tuple[Action, type[GatewayError]]] = {
    "no answer": (LoseResponse(), GatewayUnreachable),
    "a late answer": (Stall(30), GatewayTimeout),
    "a page": (SendResponse(200, {}, b"<html>"), UnexpectedResponse),
    "another server's 404": (SendResponse(404, {}, b"<html>"), UnexpectedResponse),
    "a directory of nothing": (
        SendResponse(200, {}, b'["dirnode", {}]'),
        UnexpectedResponse,
    ),
    "a file": (SendResponse(200, {}, b'["filenode", {}]'), UnexpectedResponse),
    "unknown": (SendResponse(200, {}, b'["unknown", {}]'), UnexpectedResponse),
}


@pytest.mark.parametrize("error", ERRORS)
def test_a_store_that_can_not_be_asked_never_says_no(
    make_storage: MakeStorage, proxy: Proxy, root: Cap, error: str
) -> None:
    action, kind = ERRORS[error]
    wait = 0.3 if kind is GatewayTimeout else 30
    storage = make_storage(base_url=proxy.url, retries=0, read_timeout=wait)
    proxy.rule(is_listing, action, times=None)
    asking: list[Callable[[], object]] = [
        lambda: storage.exists("a"),
        lambda: storage.open("a"),
        lambda: storage.size("a"),
        lambda: storage.url("a"),
        lambda: storage.listdir(""),
        lambda: storage.delete("a"),
        lambda: save(storage, "a"),
    ]
    for ask in asking:
        with pytest.raises(kind) as caught:
            ask()
        assert_hides_caps(caught.value, root, root.read_only)


@pytest.mark.parametrize("listed", [True, False])
def test_a_directory_that_was_replaced_and_is_gone_is_looked_up_afresh(
    far: TahoeStorage,
    other: TahoeStorage,
    proxy: Proxy,
    tahoe_grid: LocalGrid,
    root: Cap,
    listed: bool,
) -> None:
    """Its cap is still in the cache, and the shares were deleted meanwhile."""
    save(far, "x/y/a")
    if listed:
        assert far.listdir("x/y") == ([], ["a"])
    old = far.directories.cached(("x", "y"), writing=True)
    assert isinstance(old, Directory)
    x = f"{tahoe_grid.base_url}/uri/{root.uri}/x"
    assert requests.delete(f"{x}/y", timeout=30).ok
    save(other, "x/y/b")
    gone = f"/uri/{old.best.uri}"
    response = SendResponse(410, {}, b"UnrecoverableFileError: not retrieved")
    proxy.rule(lambda seen: seen.path.startswith(gone), response, times=None)
    if listed:
        with pytest.raises(NotEnoughShares, match=r"^x/y/c: "):
            save(far, "x/y/c")
    assert far.open("x/y/b").read() == b"mine"
    assert save(far, "x/y/c") == "x/y/c"
    assert other.listdir("x/y") == ([], ["b", "c"])


@pytest.mark.parametrize("cap", [None, "nonsense", "URI:DIR2:a:b", "URI:LIT:nu"])
def test_a_directory_whose_cap_is_none_is_unexpected(
    far: TahoeStorage, proxy: Proxy, cap: str | None
) -> None:
    response = ["dirnode", {"children": {}, "ro_uri": cap}]
    proxy.rule(is_listing, SendResponse(200, {}, json.dumps(response).encode()))
    with pytest.raises(UnexpectedResponse, match=r"^x/a: .*Tahoe-LAFS") as caught:
        far.exists("x/a")
    assert_hides_caps(caught.value)


def test_a_listing_held_back_does_not_bring_a_deleted_file_back(
    far: TahoeStorage,
    proxy: Proxy,
    background: Callable[..., Future[Any]],
    make_storage: MakeStorage,
) -> None:
    near = make_storage()
    save(near, "a")
    near.directories.cache.forget(near.directories.root.namespace)
    may_answer = threading.Event()
    listing = proxy.rule(is_listing, Hold(may_answer))
    asking = background(far.exists, "a")
    reached(listing)
    near.delete("a")
    may_answer.set()
    assert asking.result(60)
    assert not far.exists("a")
    with pytest.raises(FileNotFoundError):
        far.open("a")


# Time-outs


def test_a_deletion_that_may_come_late_is_not_sent_again(
    make_storage: MakeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    """Sent twice, the late one could take what somebody saved under the name since."""
    hasty = make_storage(base_url=proxy.url, read_timeout=4, retries=3)
    save(hasty, "a")
    may_unlink = threading.Event()
    unlinking = proxy.rule(is_unlink, HoldRequest(may_unlink))
    with pytest.raises(GatewayTimeout):
        hasty.delete("a")
    assert count(proxy, is_unlink) == 1
    assert tree() == {"a": b"mine"}
    may_unlink.set()
    reached(unlinking)


def test_a_gateway_that_makes_no_directory_in_time_is_asked_once(
    make_storage: MakeStorage, proxy: Proxy, tree: Callable[[], Tree]
) -> None:
    hasty = make_storage(base_url=proxy.url, read_timeout=4, retries=3)
    never = threading.Event()
    proxy.rule(is_mkdir, HoldRequest(never), times=None)
    with pytest.raises(GatewayTimeout):
        save(hasty, "dir/a")
    assert count(proxy, is_mkdir) == 1
    assert tree() == {}
    never.set()
