"""A gateway that hangs costs one thread a time limit, and the others nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tahoestorage.exceptions import (
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    StoreError,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import connections, presence
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.presence import Presence
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent
from tests.support.proxy import Proxy, Seen, SendResponse, Stall

THREADS = 32
LONG = b"longer than a cap can hold " * 4


class Clock:
    """Stands for the module `time` in what is tested."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Seconds pass only where the test says so."""
    clock = Clock()
    monkeypatch.setattr(presence, "time", clock)
    return clock


@pytest.fixture(scope="module")
def node(tahoe: Path) -> Iterator[LocalGrid]:
    """A grid that may be frozen."""
    with LocalGrid(tahoe=tahoe) as grid:
        yield grid


@pytest.fixture
def frozen(
    node: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """Return what thaws the node, which accepts connections and says nothing.

    Until then its status is not waited for as long as usual.
    """
    (pid,) = node.pids
    usual = presence.PROBE_SECONDS
    monkeypatch.setattr(presence, "PROBE_SECONDS", 0.2)

    def thaw() -> None:
        monkeypatch.setattr(presence, "PROBE_SECONDS", usual)
        os.kill(pid, signal.SIGCONT)

    yield thaw
    thaw()


def freeze(grid: LocalGrid) -> None:
    os.kill(grid.pids[0], signal.SIGSTOP)


@pytest.fixture
def storage(node: LocalGrid, tmp_path: Path) -> TahoeStorage:
    storage = TahoeStorage(
        base_url=node.base_url,
        base_cap=node.create_root().uri,
        public_base_url="http://files.example",
        cache={"directory": str(tmp_path / "cache")},
    )
    storage.save("known/a", ContentFile(LONG))
    assert storage.exists("known/a")
    storage.listdir("known")
    return storage


def hasty(storage: TahoeStorage, seconds: float = 1.0) -> TahoeStorage:
    """Return one of the same root that does not wait for long."""
    return TahoeStorage(**{**storage._given, "read_timeout": seconds})


def outcome(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except GatewayError as error:
        return type(error)


def in_threads(action: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda i: outcome(action), range(THREADS)))


def test_one_thread_waits_for_a_frozen_gateway_and_once(
    node: LocalGrid,
    frozen: Callable[[], None],
    storage: TahoeStorage,
    clock: Clock,
) -> None:
    cold = TahoeStorage(**{**storage._given, "cache": False})
    cold_and_hasty = hasty(cold)
    freeze(node)
    with requests_sent() as seen, pytest.raises(GatewayTimeout):
        cold_and_hasty.exists("new/a")
    # Not repeated; and then its status, to know whether only that was slow.
    assert (len(seen), len(seen.guards)) == (1, 1)
    assert " /?t=json " in seen.guards[0]
    with requests_sent() as seen:
        # What is known is known, and the rest fails at once.
        assert in_threads(lambda: storage.exists("known/a")) == [True] * THREADS
        for action in (
            lambda: cold.exists("new/a"),
            lambda: storage.save("new/b", ContentFile(LONG)),
            lambda: storage.delete("known/a"),
            lambda: storage.open("known/a").read(),
            lambda: storage.open("known/none"),
        ):
            assert set(in_threads(action)) == {GatewayUnreachable}
        assert (seen, seen.guards) == ([], [])
        # Then one of them tries, as often as that.
        for _ in range(3):
            clock.now += presence.AWAY_SECONDS
            assert set(in_threads(lambda: cold_and_hasty.exists("new/a"))) == {
                GatewayUnreachable
            }
    assert seen == []
    assert len(seen.guards) == 3
    assert all(" /?t=json " in each for each in seen.guards)
    frozen()
    clock.now += presence.AWAY_SECONDS
    with requests_sent() as seen:
        assert cold.exists("new/a") is False
    assert (len(seen), len(seen.guards)) == (1, 1)


def test_a_download_that_a_frozen_gateway_broke_off_counts_as_a_time_out(
    node: LocalGrid, frozen: Callable[[], None], storage: TahoeStorage, clock: Clock
) -> None:
    # More than is on its way when the gateway stops.
    name = storage.save("large", ContentFile(os.urandom(40 << 20)))
    quick = hasty(storage, 4.0)
    with quick.open(name) as file:
        assert file.read(1)
        freeze(node)
        with requests_sent() as seen, pytest.raises(GatewayTimeout):
            file.read()
    assert (len(seen), len(seen.guards)) == (0, 1)
    with requests_sent() as seen:
        assert set(in_threads(lambda: quick.listdir("new"))) == {GatewayUnreachable}
        assert set(in_threads(lambda: quick.open(name).read())) == {GatewayUnreachable}
    assert (seen, seen.guards) == ([], [])
    frozen()
    clock.now += presence.AWAY_SECONDS
    assert len(storage.open(name).read()) == 40 << 20


def test_while_it_is_away_expired_entries_are_used_and_nothing_is_missing(
    node: LocalGrid,
    frozen: Callable[[], None],
    storage: TahoeStorage,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, size = storage.url("known/a"), storage.size("known/a")
    tiers: Any = storage.directories.cache._tiers
    for module in ("localtiers", "entrycache"):
        expired = f"tahoestorage.cache.{module}.is_fresh"
        monkeypatch.setattr(expired, lambda *rest: False)
    assert tiers is not None
    freeze(node)
    with pytest.raises(GatewayTimeout):
        hasty(storage).exists("known/a")
    with requests_sent() as seen:
        assert storage.url("known/a") == url
        assert storage.size("known/a") == size
        assert storage.open("known/a").name == "known/a"
        for action in (
            lambda: storage.exists("known/a"),
            lambda: storage.exists("known/none"),
            lambda: storage.url("known/none"),
            lambda: storage.open("known/none"),
        ):
            with pytest.raises(GatewayUnreachable, match="stopped responding"):
                action()
    assert seen == []


def is_listing(seen: Seen) -> bool:
    return "/uri/" in seen.target


def is_status(seen: Seen) -> bool:
    return seen.target == "/?t=json"


def gateway_before(proxy: Proxy, **options: Any) -> Gateway:
    return Gateway(proxy.url, **{"read_timeout": 0.5, "retries": 3, **options})


@pytest.fixture
def patient(proxy: Proxy) -> Iterator[Gateway]:
    """A client of the same gateway, which waits however busy the machine is."""
    with contextlib.closing(gateway_before(proxy, read_timeout=60)) as gateway:
        yield gateway


def test_a_gateway_that_is_slow_with_one_thing_is_not_away(
    proxy: Proxy, patient: Gateway, root: Cap
) -> None:
    """One storage server that hangs makes a directory slow, and no other."""
    gateway = gateway_before(proxy)
    proxy.rule(is_listing, Stall(30))
    with pytest.raises(GatewayTimeout):
        gateway.list(root, label="slow")
    patient.list(root, label="fine")
    assert (len(proxy.seen), len(proxy.guards)) == (2, 1)
    gateway.close()


LITERAL = Link(Cap.parse("URI:LIT:nbswy3dp"))
ASKED: dict[str, Callable[[Gateway, Cap], object]] = {
    "a listing": lambda gateway, root: gateway.list(root, label="slow"),
    "an error": lambda gateway, root: gateway.list(root, ("none",), label="slow"),
    "a change": lambda gateway, root: gateway.set_children(
        root, {"a": LITERAL}, label="slow"
    ),
}


@pytest.mark.parametrize("away", [True, False])
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_body_that_stalls_is_a_time_out(
    proxy: Proxy,
    patient: Gateway,
    root: Cap,
    clock: Clock,
    ask: Callable[[Gateway, Cap], object],
    away: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be slow by itself, or the last word of a gateway that hangs."""
    gateway = gateway_before(proxy)
    proxy.rule(is_listing, Stall(30, after=3))
    if away:
        proxy.rule(is_status, Stall(30), guards=True)
        monkeypatch.setattr(presence, "PROBE_SECONDS", 0.2)
    with pytest.raises(StoreError):
        ask(gateway, root)
    if away:
        with pytest.raises(GatewayUnreachable, match="stopped responding"):
            patient.list(root, label="fine")
    else:
        patient.list(root, label="fine")
    assert (len(proxy.seen), len(proxy.guards)) == (1 if away else 2, 1)
    gateway.close()


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_whatever_answers_is_there(
    proxy: Proxy, patient: Gateway, root: Cap, status: int
) -> None:
    """A proxy before the gateway may let nobody ask for its status."""
    gateway = gateway_before(proxy)
    proxy.rule(is_listing, Stall(30))
    proxy.rule(is_status, SendResponse(status, {}, b"no"), guards=True)
    with pytest.raises(GatewayTimeout):
        gateway.list(root, label="slow")
    patient.list(root, label="fine")
    gateway.close()


def test_a_proxy_that_finds_no_gateway_is_none(
    proxy: Proxy, root: Cap, clock: Clock
) -> None:
    gateway = gateway_before(proxy, retries=0)
    proxy.rule(is_listing, Stall(30))
    proxy.rule(is_status, SendResponse(504, {}, b"no"), guards=True)
    with pytest.raises(GatewayTimeout):
        gateway.list(root, label="slow")
    with pytest.raises(GatewayUnreachable):
        gateway.list(root, label="fine")
    assert sum(map(is_listing, proxy.seen)) == 1
    gateway.close()


def test_clients_of_one_gateway_know_the_same_of_it() -> None:
    one, other = Presence.of("http://a.example"), Presence.of("http://a.example")
    assert one is other
    assert Presence.of("http://b.example") is not one


def test_while_one_thread_tries_the_others_are_told_at_once(clock: Clock) -> None:
    away = Presence()
    away.timed_out(lambda: False)
    clock.now += presence.AWAY_SECONDS
    begun, may = threading.Event(), threading.Event()

    def responses() -> bool:
        begun.set()
        return may.wait(60)

    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(away.may_ask, responses)
        assert begun.wait(60)
        assert not away.may_ask(pytest.fail)
        may.set()
        assert trial.result()
    assert away.may_ask(pytest.fail)


def test_a_trial_that_breaks_off_is_made_by_another(clock: Clock) -> None:
    away = Presence()
    away.timed_out(lambda: False)
    clock.now += presence.AWAY_SECONDS

    def broken() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        away.may_ask(broken)
    assert away.may_ask(lambda: True)


def test_a_time_out_of_somebody_else_s_trial_is_not_tried_again(clock: Clock) -> None:
    away = Presence()
    away.timed_out(lambda: False)
    away.timed_out(pytest.fail)
    assert not away.may_ask(pytest.fail)


def test_a_request_is_repeated_only_within_the_time_of_one(
    proxy: Proxy, root: Cap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that answers 504 after a minute would be asked four times."""
    clock = Clock()
    monkeypatch.setattr(connections, "time", clock)
    gateway = gateway_before(proxy, connect_timeout=10, read_timeout=60)

    def late(seen: Seen) -> bool:
        clock.now += 40
        return True

    proxy.rule(late, SendResponse(504, {}, b"no"), times=None)
    with pytest.raises(GatewayError, match="504"):
        gateway.list(root, label="slow")
    assert len(proxy.seen) == 2
    gateway.close()


def test_what_is_repeated_has_the_time_that_is_left(
    proxy: Proxy, root: Cap, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(connections, "time", clock)
    waited: list[float] = []
    usual = connections._GatewayConnection.endheaders

    def noted(self: Any, *rest: Any, **more: Any) -> None:
        waited.append(self.timeout)
        usual(self, *rest, **more)

    monkeypatch.setattr(connections._GatewayConnection, "endheaders", noted)
    gateway = gateway_before(proxy, connect_timeout=10, read_timeout=60)

    def late(seen: Seen) -> bool:
        clock.now += 65
        return True

    proxy.rule(late, SendResponse(503, {}, b"no"))
    gateway.list(root, label="slow")
    assert waited == [10, 5]
    gateway.close()
