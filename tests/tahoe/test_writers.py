"""Changes of directories through another gateway, while the first one is away."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tahoestorage.cache.redislocks import LOCKS, UNCLEAR, RedisLocks
from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import gateways, serverlist, writers
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid
from tests.support.proxy import (
    LoseResponse,
    Proxy,
    Refuse,
    Seen,
    SendResponse,
)
from tests.support.redis_server import RedisServer, running

LONG = b"longer than a cap can hold " * 4
Make = Callable[..., TahoeStorage]

pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def make(
    two_gateways: LocalGrid,
    proxies: list[Proxy],
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    """Make storages of one root, with both gateways and a Redis; of a host each.

    Each asks anew who is away before a change, as after a second.
    """
    monkeypatch.setattr(serverlist, "SECONDS", 0.0)
    root = two_gateways.create_root().uri
    hosts = iter(range(100))

    def make(**options: Any) -> TahoeStorage:
        usual = {
            "base_url": [proxy.url for proxy in proxies],
            "base_cap": root,
            "retries": 0,
            "cache": {"redis": redis_server.url},
            # Storages with other options have other connections, and know nothing.
            "min_rate": 1000 + next(hosts),
        }
        return TahoeStorage(**{**usual, **options})

    return make


def anything(seen: Seen) -> bool:
    return True


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


def is_unlinking(seen: Seen) -> bool:
    return seen.method == "DELETE"


def away(proxy: Proxy) -> None:
    """Let a gateway hang up on everybody: it may be alive."""
    proxy.rule(anything, Refuse(), None, guards=None)


def changes(proxy: Proxy) -> int:
    return sum(is_link(seen) or is_unlinking(seen) for seen in proxy.seen)


def save(storage: TahoeStorage, name: str, content: bytes) -> str:
    return storage.save(name, ContentFile(content))


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def test_all_changes_go_on_while_the_first_is_stopped(
    two_gateways: LocalGrid, make: Make
) -> None:
    urls = list(two_gateways.base_urls)
    first = make(base_url=urls)
    for name in ("old/a", "old/b", "old/c"):
        save(first, name, LONG + name.encode())
    two_gateways.stop_gateway(0)
    try:
        # Also of a process that was started after that.
        for number, storage in enumerate((first, make(base_url=urls))):
            new = f"new{number}"
            assert save(storage, f"{new}/dir/a", LONG) == f"{new}/dir/a"
            assert save(storage, f"old/{new}", b"short") == f"old/{new}"
            assert storage.move(f"old/{new}", f"{new}/b") == f"{new}/b"
            with storage.open(f"{new}/b", "wb") as file:
                file.write(LONG * 2)
            saved = [f"{new}/1", f"{new}/2"]
            assert list(storage.save_many((n, ContentFile(LONG)) for n in saved))
        first.delete("old/a")
        alone = TahoeStorage(
            base_url=urls[1], base_cap=first._given["base_cap"], cache=False
        )
        for number in range(2):
            assert read(alone, f"new{number}/dir/a") == LONG
            assert read(alone, f"new{number}/b") == LONG * 2
            assert sorted(alone.listdir(f"new{number}")[1]) == ["1", "2", "b"]
        assert sorted(alone.listdir("old")[1]) == ["b", "c"]
    finally:
        two_gateways.start_gateway(0)
    assert read(make(base_url=urls, cache=False), "new1/b") == LONG * 2


def test_the_first_one_is_used_again_when_it_is_back(
    make: Make, proxies: list[Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "AGAIN_SECONDS", 3600.0)
    first, second = proxies
    storage = make()
    save(storage, "dir/a", LONG)
    away(first)
    save(storage, "dir/b", LONG)
    assert changes(second) == 1
    first.clear()
    second.clear()
    save(storage, "dir/c", LONG)
    assert (changes(first), changes(second)) == (0, 1)
    # After a while it is tried again.
    known = storage.directories.gateways._again
    known.update(dict.fromkeys(known, 0.0))
    save(storage, "dir/d", LONG)
    assert (changes(first), changes(second)) == (1, 1)
    assert sorted(make(cache=False).listdir("dir")[1]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("redis", ["none", "away"])
def test_without_a_redis_nothing_is_changed_while_the_first_is_away(
    make: Make, proxies: list[Proxy], tmp_path: Path, redis: str
) -> None:
    with contextlib.ExitStack() as stack:
        cache = {"directory": str(tmp_path / "cache")}
        if redis == "away":
            server = stack.enter_context(running(tmp_path))
            cache = {"redis": server.url}
        storage = make(cache=cache)
        save(storage, "dir/a", LONG)
        if redis == "away":
            server.stop()
        away(proxies[0])
        with pytest.raises(GatewayUnreachable):
            save(storage, "dir/b", LONG)
        with pytest.raises(GatewayUnreachable):
            storage.delete("dir/a")
        assert changes(proxies[1]) == 0
        assert read(storage, "dir/a") == LONG


def test_two_hosts_that_use_different_gateways_lose_nothing(
    make: Make, proxies: list[Proxy], two_gateways: LocalGrid
) -> None:
    """Also where they want the same names."""
    save(make(), "dir/there", LONG)
    with Proxy(two_gateways.base_urls[0]) as cut:
        away(cut)
        urls = [cut.url, proxies[1].url]
        hosts = [make(retries=3), make(retries=3, base_url=urls)]
        together = threading.Barrier(4)

        def work(number: int) -> list[str]:
            storage, names = hosts[number % 2], []
            together.wait(60)
            for count in range(3):
                mine = b"%d %d" % (number, count) + LONG
                names.append(save(storage, f"dir/{count}", mine))
            return names

        with ThreadPoolExecutor(4) as pool:
            saved = list(pool.map(work, range(4)))
        for number, names in enumerate(saved):
            hosts[1 - number % 2].delete(names.pop())
    assert changes(proxies[0]) > 0 < changes(proxies[1])
    afresh = make(cache=False)
    for number, names in enumerate(saved):
        for count, name in enumerate(names):
            assert read(afresh, name) == b"%d %d" % (number, count) + LONG
    expected = {name for names in saved for name in names} | {"dir/there"}
    assert len(expected) == 4 * 2 + 1
    assert {f"dir/{name}" for name in afresh.listdir("dir")[1]} == expected


def test_what_was_linked_without_a_response_is_not_overwritten_by_the_next(
    make: Make, proxies: list[Proxy], redis_server: RedisServer
) -> None:
    first, second = proxies
    storage = make()
    save(storage, "dir/there", LONG)
    lost = first.rule(is_link, LoseResponse())
    first.rule(lambda seen: lost.reached.is_set(), Refuse(), None, guards=None)
    with pytest.raises(GatewayUnreachable):
        save(storage, "dir/a", LONG)
    # Nothing of it was tried through the other one.
    assert changes(second) == 0
    end_locks(redis_server)
    other = save(make(), "dir/a", LONG * 2)
    assert other != "dir/a"
    assert changes(second) > 0
    afresh = make(cache=False)
    assert (read(afresh, "dir/a"), read(afresh, other)) == (LONG, LONG * 2)


@pytest.fixture
def late(make: Make, proxies: list[Proxy], redis_server: RedisServer) -> None:
    """Nobody knows whether the first gateway, which hangs, will delete "dir/a"."""
    save(make(), "dir/a", LONG)
    save(make(), "other/a", LONG)
    proxies[0].rule(is_unlinking, Refuse())
    with pytest.raises(GatewayUnreachable):
        make().delete("dir/a")
    away(proxies[0])
    end_locks(redis_server)


def end_locks(server: RedisServer) -> None:
    """Let all locks end, as when their time is over."""
    with contextlib.closing(server.client()) as client:
        client.delete(LOCKS, *client.scan_iter(match="tahoestorage:lock:*"))


def unclear_key(make: Make) -> str:
    """Return where the Redis keeps which gateways may still be at "dir"."""
    directory = make().directories.fetch(("dir",), None, make().directories.gateways)
    return UNCLEAR + directory.directory.namespace.key(b"turn").hex()


def unclear(make: Make, redis_server: RedisServer) -> int:
    """Return how many they are."""
    with contextlib.closing(redis_server.client()) as client:
        return int(client.zcard(unclear_key(make)))


def let_days_pass(make: Make, redis_server: RedisServer, days: int) -> None:
    """As if what is noted of "dir" had been noted so many days ago."""
    key = unclear_key(make)
    with contextlib.closing(redis_server.client()) as client:
        noted: Any = client.zrange(key, 0, -1)
        for each in noted:
            client.zincrby(key, -days * 24 * 3600 * 1000, each)


@pytest.mark.usefixtures("late")
def test_where_a_deletion_may_be_late_nothing_is_saved_through_another(
    make: Make, proxies: list[Proxy], redis_server: RedisServer
) -> None:
    """It would delete what was saved meanwhile, however long ago it was asked."""
    let_days_pass(make, redis_server, 1000)
    storage = make()
    with pytest.raises(GatewayUnreachable, match="may still be at a deletion") as said:
        save(storage, "dir/b", LONG)
    assert proxies[0].url in str(said.value)
    assert changes(proxies[1]) == 0
    # In other directories nothing is late.
    assert save(storage, "other/b", LONG) == "other/b"
    assert changes(proxies[1]) == 1

    # Until the first one is back, and has responded.
    proxies[0].clear()
    storage = make()
    assert save(storage, "dir/b", LONG) == "dir/b"
    assert unclear(make, redis_server) == 0
    away(proxies[0])
    assert save(storage, "dir/c", LONG) == "dir/c"
    assert sorted(make(cache=False).listdir("dir")[1]) == ["a", "b", "c"]


@pytest.mark.usefixtures("late")
def test_what_has_stopped_is_late_with_nothing(
    make: Make,
    proxies: list[Proxy],
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = proxies[0].url
    monkeypatch.setattr(writers, "is_stopped", lambda url: url == first)
    assert unclear(make, redis_server) == 1
    assert save(make(), "dir/b", LONG) == "dir/b"
    assert changes(proxies[1]) == 1
    assert unclear(make, redis_server) == 0


@pytest.mark.usefixtures("late")
def test_a_site_that_no_longer_names_it_does_not_wait_for_it(
    make: Make, proxies: list[Proxy]
) -> None:
    storage = make(base_url=proxies[1].url)
    assert save(storage, "dir/b", LONG) == "dir/b"


@pytest.mark.usefixtures("late")
def test_a_gateway_that_nobody_names_any_more_is_waited_for_some_days(
    make: Make,
    proxies: list[Proxy],
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one on loopback before its host was booted, which nobody can ask."""
    monkeypatch.setattr(writers, "_this_network", lambda: "after a boot")
    proxies[0].clear()
    assert save(make(), "dir/b", LONG) == "dir/b"
    away(proxies[0])
    for days in (0, 6):
        let_days_pass(make, redis_server, days)
        with pytest.raises(GatewayUnreachable, match="that is not in base_url may"):
            save(make(), "dir/c", LONG)
    assert changes(proxies[1]) == 0
    let_days_pass(make, redis_server, 2)
    assert save(make(), "dir/c", LONG) == "dir/c"
    assert changes(proxies[1]) == 1
    # Other hosts may know it.
    assert unclear(make, redis_server) == 1


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_replacement_may_be_late_too(
    make: Make, proxies: list[Proxy], redis_server: RedisServer, many: bool
) -> None:
    save(make(), "dir/a", LONG)
    proxies[0].rule(is_link, Refuse())
    storage = make(allow_overwrite=True)
    names = ["dir/a", "dir/b"] if many else ["dir/a"]
    pairs = [(name, ContentFile(LONG * 2)) for name in names]
    with pytest.raises(OSError, match="the gateway at"):
        list(storage.save_many(pairs))
    away(proxies[0])
    end_locks(redis_server)
    with pytest.raises(GatewayUnreachable, match="a deletion or a replacement"):
        save(make(), "dir/b", LONG)
    assert changes(proxies[1]) == 0


SERVER = {"connection_status": "Connected", "version": "tahoe", "nickname": "x"}
LISTS = {
    "others": (
        SendResponse(200, {}, json.dumps({"servers": [{"nodeid": "v0-x", **SERVER}]})
                     .encode()),
        "1 storage servers that are not on record",
    ),
    "none": (SendResponse(403, {}, b"no"), "does not show its storage servers"),
}  # fmt: skip


@pytest.mark.parametrize(("response", "why"), LISTS.values(), ids=LISTS)
def test_one_that_may_be_of_another_grid_changes_nothing(
    make: Make, proxies: list[Proxy], response: SendResponse, why: str
) -> None:
    storage = make()
    save(storage, "dir/a", LONG)
    away(proxies[0])
    proxies[1].rule(lambda s: s.target == "/?t=json", response, None, guards=True)
    with pytest.raises(GatewayUnreachable, match=why) as said:
        storage.delete("dir/a")
    assert all(proxy.url in str(said.value) for proxy in proxies)
    assert changes(proxies[1]) == 0


def test_nothing_is_sent_through_another_when_the_redis_goes_away(
    make: Make, proxies: list[Proxy], tmp_path: Path
) -> None:
    with running(tmp_path) as server:
        storage = make(cache={"redis": server.url})
        save(storage, "dir/a", LONG)
        away(proxies[0])
        directory = storage.directories.fetch(
            ("dir",), None, storage.directories.gateways
        ).directory
        links = storage.links
        with links.cache.lock(directory.namespace, "dir/a", 30.0) as lock:
            held = links.writers.hold(lock, "dir/a")
            assert held.gateway.base_url == proxies[1].url
            held.renew()
            server.stop()
            with pytest.raises(GatewayUnreachable, match="the Redis that has the lock"):
                held.renew()
            with pytest.raises(GatewayUnreachable, match="the Redis that has the lock"):
                held.send_undoing(held.gateway.unlink, directory.best, "a", label="a")
    assert changes(proxies[1]) == 0


def test_a_lock_that_others_had_meanwhile_is_looked_at_again(
    make: Make, proxies: list[Proxy], redis_server: RedisServer
) -> None:
    storage = make()
    save(storage, "dir/a", LONG)
    away(proxies[0])
    gateways = storage.directories.gateways
    namespace = storage.directories.fetch(("dir",), None, gateways).directory.namespace
    links, name = storage.links, namespace.key(b"turn").hex()
    with links.cache.lock(namespace, "dir/b", 30.0) as lock:
        held = links.writers.hold(lock, "dir/b")
        end_locks(redis_server)
        with contextlib.closing(redis_server.client()) as client:
            theirs = RedisLocks(client)
            assert theirs.take(name, "theirs", 30.0)
            assert theirs.note(name, "theirs", links.writers.first.id)
            assert theirs.release(name, "theirs")
        with pytest.raises(GatewayUnreachable, match="may still be at a deletion"):
            held.renew()


def test_how_a_gateway_is_known_to_all_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("http://gateway.internal", "http://127.0.0.1:1", "http://localhost:1")

    def ids() -> list[str]:
        return [writers._id(Gateway(url)) for url in urls]

    here = ids()
    assert len({*here, *urls}) == 6
    monkeypatch.setattr(writers, "_this_network", lambda: "that of another host")
    there = ids()
    assert [a == b for a, b in zip(here, there, strict=True)] == [True, False, False]
