"""Several gateways: what was acknowledged is there, and no name is given twice.

``python -m benchmarks.gateways`` does the same for longer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests
from django.core.files.base import ContentFile

from benchmarks.gateways import GatewayFigures, measure
from tahoestorage.cache import EntryCache, redislocks
from tahoestorage.cache.locks import WriteLock
from tahoestorage.exceptions import NameIsDirectory, WriteCollision
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import directorychanges
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.writecollisions import LostLockWarning
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.proxy import Hold, Proxy, SendResponse
from tests.support.redis_server import RedisServer

LONG = b"longer than a cap can hold " * 4


@pytest.mark.parametrize("redis", ["none", "usual", "evicting"])
def test_nothing_acknowledged_is_lost_and_no_name_given_twice(
    two_gateways: LocalGrid, redis: str
) -> None:
    result = GatewayFigures()
    measure(redis, 1, two_gateways, result, saves=2)
    assert result.saves == 64
    assert result.saved > 0
    assert (result.evicted > 0) == (redis == "evicting")
    assert result.lost == []
    assert result.twice == []
    if redis == "none":
        assert set(result.failed) <= {"WriteCollision"}
    else:
        assert result.errors == []


def test_a_lock_outlives_its_holder_by_as_long_as_a_gateway_may_write(
    make_storage: MakeStorage, proxy: Proxy, redis_server: RedisServer
) -> None:
    """And not by as long as its request might have taken besides."""
    storage = make_storage(base_url=proxy.url, cache={"redis": redis_server.url})
    known = storage.save("dir/a", ContentFile(LONG))
    with redis_server.client() as client, ThreadPoolExecutor(1) as pool:
        before = client.hkeys(redislocks.LOCKS)
        may = threading.Event()
        rule = proxy.rule(lambda seen: "t=set_children" in seen.target, Hold(may))
        saved = pool.submit(storage.copy, known, "dir/b")
        assert rule.reached.wait(60)
        (lock,) = set(client.hkeys(redislocks.LOCKS)) - set(before)
        ends = int(client.hget(redislocks.LOCKS, lock).split()[1]) / 1000
        seconds, _ = client.time()
        may.set()
        saved.result()
    assert ends - seconds <= directorychanges.WRITING_SECONDS * 9 / 8 + 1


class Losing(WriteLock):
    """A lock that is taken away, and who has it then does something."""

    def __init__(self, others: list[Callable[[], object]]) -> None:
        self._others = others

    def __exit__(self, *error: object) -> None:
        if self._others:
            self.lost = True
            self._others.pop(0)()


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What those do who are given the locks of others, one after another."""
    acts: list[Callable[[], object]] = []
    monkeypatch.setattr(EntryCache, "lock", lambda *a, **k: Losing(acts))
    monkeypatch.setattr(directorychanges, "lost_lock_warning", LostLockWarning())
    return acts


def nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize("name", ["a", "new/dir/a"])
def test_what_was_linked_under_a_lost_lock_is_looked_for(
    storage: TahoeStorage,
    others: list[Callable[[], object]],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    storage.listdir("")
    others[:] = [nothing]
    with requests_sent() as sent, caplog.at_level(logging.WARNING):
        assert storage.save(name, ContentFile(LONG)) == name
    trees = ["POST"] * name.count("/")
    assert sent.verbs == ["PUT", *trees, "POST", "GET"]
    (warning,) = (each for each in caplog.records if each.levelno == logging.WARNING)
    assert "without a lock" in warning.getMessage()
    assert storage.open(name).read() == LONG


@pytest.mark.parametrize("name", ["a", "new/dir/a"])
def test_what_others_undid_is_done_again(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    others: list[Callable[[], object]],
    root: Cap,
    name: str,
) -> None:
    first = name.partition("/")[0]

    def undo() -> None:
        url = f"{storage.options.base_url}/uri/{root.uri}/{first}"
        requests.delete(url, timeout=30).raise_for_status()

    storage.listdir("")
    others[:] = [undo, undo, nothing]
    with requests_sent() as sent:
        assert storage.save(name, ContentFile(LONG)) == name
    assert sum("t=set_children" in line for line in sent) == 3
    assert make_storage(cache=False).open(name).read() == LONG
    undo()
    storage.directories.cache.forget(storage.directories.root.namespace)
    others[:] = [undo] * 9
    with pytest.raises(WriteCollision, match="undo it each time"):
        storage.save(name, ContentFile(LONG))


def test_a_name_that_others_took_with_the_lock_is_theirs(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    others: list[Callable[[], object]],
    root: Cap,
) -> None:
    def take() -> None:
        url = f"{storage.options.base_url}/uri/{root.uri}/a"
        requests.put(url, data=b"theirs", timeout=30).raise_for_status()
        children = {"a": ["filenode", {"ro_uri": "URI:LIT:orugk2lsom", "metadata": {}}]}
        url = f"{storage.options.base_url}/uri/{root.uri}?t=set_children"
        requests.post(url, json=children, timeout=30).raise_for_status()

    others[:] = [take]
    mine = storage.save("a", ContentFile(LONG))
    assert mine != "a"
    afresh = make_storage(cache=False)
    assert afresh.open(mine).read() == LONG
    assert afresh.open("a").read() == b"theirs"


def test_a_file_whose_deletion_others_undid_is_deleted_again(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    others: list[Callable[[], object]],
    proxy: Proxy,
) -> None:
    far = make_storage(base_url=proxy.url)
    far.save("a", ContentFile(LONG))
    # The gateway never hears of the first one.
    proxy.rule(lambda seen: seen.method == "DELETE", SendResponse(200, {}, b"done"))
    others[:] = [nothing]
    far.delete("a")
    assert not make_storage(cache=False).exists("a")
    assert sum(seen.method == "DELETE" for seen in proxy.seen) == 2


@pytest.fixture
def waiting(
    make_storage: MakeStorage, proxy: Proxy, redis_server: RedisServer
) -> Callable[..., Future[object]]:
    """Let a storage do something; a host that has the lock puts a child at "dir/a"."""
    cache = {"redis": redis_server.url}
    theirs = make_storage(cache=cache).links

    def wait(act: Callable[[TahoeStorage], object], child: Link) -> Future[object]:
        ours = make_storage(base_url=proxy.url, cache=cache)
        ours.save("dir/a", ContentFile(LONG))
        ours.save("target/other", ContentFile(LONG))
        directory = theirs.directories.fetch(("dir",)).directory
        write, children = directory.writable("dir"), {"a": child}
        with (
            ThreadPoolExecutor(1) as pool,
            theirs.cache.lock(directory.namespace, "theirs", 30, 30),
        ):
            proxy.clear()
            done = pool.submit(act, ours)
            while not any(seen.status and "/a?" in seen.target for seen in proxy.seen):
                assert not done.done()
                time.sleep(0.01)
            change = theirs.cache.change(directory.namespace, "a")
            theirs.gateway.unlink(write, "a", label="a")
            theirs.gateway.set_children(write, children, label="a")
            change.done(None)
        return done

    return wait


def test_what_others_saved_while_a_move_waited_for_the_lock_stays(
    make_storage: MakeStorage, waiting: Callable[..., Future[object]]
) -> None:
    newer = Link(Cap.parse("URI:LIT:orugk2lsom"))
    moving = waiting(lambda storage: storage.move("dir/a", "target/a"), newer)
    assert moving.result() == "target/a"
    afresh = make_storage(cache=False)
    assert afresh.open("target/a").read() == LONG
    assert afresh.open("dir/a").read() == b"theirs"


def test_a_directory_that_came_while_a_deletion_waited_for_the_lock_stays(
    make_storage: MakeStorage, waiting: Callable[..., Future[object]]
) -> None:
    storage = make_storage()
    storage.save("full/of/files", ContentFile(LONG))
    full = Link(storage.directories.fetch(("full",)).directory.best)
    deleting = waiting(lambda storage: storage.delete("dir/a"), full)
    with pytest.raises(NameIsDirectory):
        deleting.result()
    assert make_storage(cache=False).open("dir/a/of/files").read() == LONG


def test_a_file_that_came_while_a_deletion_waited_for_the_lock_is_deleted(
    make_storage: MakeStorage, waiting: Callable[..., Future[object]], proxy: Proxy
) -> None:
    newer = Link(Cap.parse("URI:LIT:orugk2lsom"))
    waiting(lambda storage: storage.delete("dir/a"), newer).result()
    assert not make_storage(cache=False).exists("dir/a")
    assert [seen.method for seen in proxy.seen] == ["GET", "GET", "DELETE"]


COLLISIONS = {
    "shares": SendResponse(410, {}, b"NotEnoughSharesError: ran out of shares"),
    "a stumble": SendResponse(500, {}, b"Traceback\n  x\nbuiltins.KeyError: 64"),
}


@pytest.mark.parametrize("response", COLLISIONS.values(), ids=COLLISIONS)
def test_a_directory_that_another_gateway_is_just_writing_is_looked_at_again(
    far: TahoeStorage,
    others: list[Callable[[], object]],
    proxy: Proxy,
    response: SendResponse,
) -> None:
    far.listdir("")
    others[:] = [nothing]
    proxy.rule(
        lambda seen: seen.method == "GET" and "/uri/" in seen.target, response, times=2
    )
    assert far.save("a", ContentFile(LONG)) == "a"
    assert far.open("a").read() == LONG
