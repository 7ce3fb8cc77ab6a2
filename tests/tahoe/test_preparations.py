"""Directories that are made while the file is uploaded: seen by nobody before it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tahoestorage.exceptions import NotEnoughServers
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker, preparations
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.directorykeys import make_key
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.preparations import Preparations
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.leaks import everything_logged
from tests.support.preparing import join_preparing
from tests.support.proxy import Hold, LoseResponse, Proxy, Seen, SendResponse

LONG = b"longer than a cap can hold " * 4
DEEP = "a/b/c/d/file"


def is_upload(seen: Seen) -> bool:
    return seen.method == "PUT"


def is_making(seen: Seen) -> bool:
    return "t=mkdir" in seen.target


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


def count(proxy: Proxy, *kinds: Any) -> list[int]:
    return [sum(map(kind, proxy.seen)) for kind in kinds]


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


@pytest.fixture
def afresh(make_storage: MakeStorage) -> TahoeStorage:
    """Another host's storage, which knows nothing."""
    return make_storage(cache=False)


def test_a_key_is_that_of_the_directory_made_by_it(
    tahoe_grid: LocalGrid, root: Cap
) -> None:
    with everything_logged() as lines:
        key = make_key()
        gateway = Gateway(tahoe_grid.base_url)
        made = gateway.make_directory(marker.child(), key=key, label="new")
        assert made == key.cap
        gateway.set_children(made, {"a": Link(marker.CAP)}, label="new")
        names: list[str] = []
        gateway.list(made, (), lambda child: names.append(child.name), label="new")
        gateway.close()
    assert sorted(names) == sorted([marker.NAME, "a"])
    assert not any(key.private in line for line in lines)
    assert str(key.private) not in repr(key)


def test_all_but_the_last_are_made_while_the_file_is_uploaded(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    may_end = threading.Event()
    proxy.rule(is_upload, Hold(may_end))
    making = [proxy.rule(lambda seen: "private-key" in seen.target, Hold(may_end), 2)]
    making.append(
        proxy.rule(
            lambda seen: is_making(seen) and "private-key" not in seen.target,
            Hold(may_end),
        )
    )
    with ThreadPoolExecutor(1) as pool:
        saved = pool.submit(far.save, DEEP, ContentFile(LONG))
        try:
            for rule in making:
                assert rule.reached.wait(60)
            assert afresh.listdir("") == ([], [])
            assert count(proxy, is_link) == [0]
        finally:
            may_end.set()
        assert saved.result() == DEEP
    # One change makes all of it seen.
    assert count(proxy, is_upload, is_making, is_link) == [1, 4, 1]
    assert read(afresh, DEEP) == LONG
    assert read(far, DEEP) == LONG
    # What was made can be saved in.
    proxy.seen.clear()
    for length in range(1, 5):
        far.save("/".join([*DEEP.split("/")[:length], "more"]), ContentFile(LONG))
    assert count(proxy, is_making, is_link) == [0, 4]


def test_a_file_that_is_its_own_cap_needs_no_more_requests(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    far.save(DEEP, ContentFile(b"short"))
    assert count(proxy, is_upload, is_making, is_link) == [0, 4, 1]
    assert read(afresh, DEEP) == b"short"


def test_one_missing_directory_is_made_with_the_file(
    far: TahoeStorage, proxy: Proxy
) -> None:
    far.save("a/b/file", ContentFile(LONG))
    proxy.seen.clear()
    far.save("a/c/file", ContentFile(LONG))
    assert count(proxy, is_making, is_link) == [1, 1]
    assert not any("private-key" in seen.target for seen in proxy.seen)


def test_nothing_is_linked_where_the_upload_fails(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    # Django's class takes no type argument at run time.
    class Broken(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield LONG
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        far.save(DEEP, Broken(LONG))
    assert count(proxy, is_link) == [0]
    assert afresh.listdir("") == ([], [])
    assert far.save(DEEP, ContentFile(LONG)) == DEEP
    assert read(afresh, DEEP) == LONG


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize(
    "action", [SendResponse(500, {}, b"no"), LoseResponse()], ids=["refused", "lost"]
)
def test_what_was_not_prepared_is_made_in_the_end(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage, number: int, action: Any
) -> None:
    passed = iter(range(100))
    proxy.rule(lambda seen: is_making(seen) and next(passed) == number, action)
    assert far.save(DEEP, ContentFile(LONG)) == DEEP
    assert count(proxy, is_link) == [1]
    assert read(afresh, DEEP) == LONG


def test_a_gateway_that_takes_no_keys_makes_its_own(
    far: TahoeStorage,
    proxy: Proxy,
    afresh: TahoeStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one of before Tahoe-LAFS 1.19 does, in silence."""
    usual = Gateway.make_directory

    def without(self: Gateway, *arguments: Any, key: Any = None, **more: Any) -> Cap:
        return usual(self, *arguments, **more)

    monkeypatch.setattr(Gateway, "make_directory", without)
    for name in (DEEP, DEEP.replace("a", "z"), "x/y/file"):
        assert far.save(name, ContentFile(LONG)) == name
        assert read(afresh, name) == LONG
    # Once it was tried.
    assert count(proxy, is_making)[0] <= 3 + 4 + 4 + 2


def test_somebody_else_makes_some_of_it_meanwhile(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    may_end = threading.Event()
    rule = proxy.rule(is_upload, Hold(may_end))
    with ThreadPoolExecutor(1) as pool:
        saved = pool.submit(far.save, DEEP, ContentFile(LONG))
        try:
            assert rule.reached.wait(60)
            afresh.save("a/b/theirs", ContentFile(LONG * 2))
        finally:
            may_end.set()
        assert saved.result() == DEEP
    assert read(afresh, DEEP) == LONG
    assert read(afresh, "a/b/theirs") == LONG * 2


def test_files_that_are_linked_together_there_meanwhile_take_what_was_prepared(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    may_end = threading.Event()
    rule = proxy.rule(is_upload, Hold(may_end))
    caps = dict.fromkeys(["a/b/c/d/1", "a/b/c/d/2"], literal_cap(b"short"))
    with ThreadPoolExecutor(1) as pool:
        saved = pool.submit(far.save, DEEP, ContentFile(LONG))
        try:
            assert rule.reached.wait(60)
            assert far.link_together(caps) == {}
        finally:
            may_end.set()
        assert saved.result() == DEEP
    # Three were prepared, and the innermost one is made with the two files.
    assert count(proxy, is_making, is_link) == [4, 2]
    assert read(afresh, DEEP) == LONG
    assert [read(afresh, name) for name in caps] == [b"short", b"short"]


def test_what_was_prepared_is_handed_out_once(storage: TahoeStorage) -> None:
    """Linked twice it would show the first one's file at the second place."""
    prepared = preparations._Preparation()
    outer = preparations.Outer([], make_key())
    root = storage.directories.root
    prepared.end(preparations._Prepared(root, 0, outer))

    assert prepared.take(root, 1, 1.0) is None
    assert prepared.take(root, 0, 1.0) is outer
    assert prepared.take(root, 0, 1.0) is None


def test_threads_that_save_there_at_once_lose_nothing(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    names = [f"a/b/c/d/{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        saved = pool.map(lambda name: far.save(name, ContentFile(LONG)), names)
        assert [*saved] == names
    # All take what one has prepared.
    assert count(proxy, is_making) == [4]
    assert sorted(afresh.listdir("a/b/c/d")[1]) == [str(n) for n in range(8)]
    for name in names:
        assert read(afresh, name) == LONG


def test_an_upload_that_fails_waits_for_nothing_that_is_prepared(
    far: TahoeStorage, proxy: Proxy, afresh: TahoeStorage
) -> None:
    may_end = threading.Event()
    rule = proxy.rule(is_making, Hold(may_end))

    class Broken(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            assert rule.reached.wait(60)
            raise OSError("the disk is gone")

    with everything_logged() as lines, ThreadPoolExecutor(1) as pool:
        saved = pool.submit(far.save, DEEP, Broken(LONG))
        try:
            assert "the disk is gone" in str(saved.exception(20))
        finally:
            may_end.set()
        far.directories.gateway.close()
        join_preparing()
    assert not [line for line in lines if "Traceback" in line]
    assert afresh.listdir("") == ([], [])
    assert far.save(DEEP, ContentFile(LONG)) == DEEP


def test_a_link_waits_for_what_is_prepared_no_longer_than_for_a_request(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make_storage()
    monkeypatch.setattr(Gateway, "request_seconds", 0.1)
    is_made, was_made = threading.Event(), []

    def look(label: str) -> bool:
        was_made.append(is_made.wait(30))
        return False

    links, parents = storage.links, ("a", "b", "c")
    make = partial(links._make, since=None)
    prepared = Preparations(storage.directories, look, links._make)
    with prepared.preparing(parents, is_missing=True):
        files = {"file": Link(marker.CAP)}
        tree = prepared.tree(storage.directories.root, parents, 0, files, make)
        is_made.set()
    join_preparing()
    assert len(tree.caps) == 3
    assert was_made == [True]


def test_after_one_that_found_too_few_servers_nothing_is_prepared_for_a_while(
    far: TahoeStorage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(name: str) -> int:
        proxy.seen.clear()
        far.save(name, ContentFile(LONG))
        join_preparing()
        return sum("private-key" in seen.target for seen in proxy.seen)

    proxy.rule(is_upload, SendResponse(500, {}, b"UploadUnhappinessError"), 3)
    with pytest.raises(NotEnoughServers):
        far.save(DEEP, ContentFile(LONG))
    join_preparing()
    assert prepared("b/b/c/d/file") == 0
    later = time.monotonic() + preparations.REFUSED_SECONDS
    monkeypatch.setattr(preparations, "monotonic_now", lambda: later)
    assert prepared("c/b/c/d/file") == 3
