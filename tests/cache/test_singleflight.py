"""A directory that many threads want at once is asked for once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.cache import EntryCache
from tahoestorage.cache.singleflight import Flight, SingleFlight
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    GatewayUnreachable,
    NotEnoughShares,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.cache.test_interleavings import (
    NONE,
    OLD,
    Actor,
    Kind,
    Known,
    Play,
    Script,
    World,
    WrongResult,
    explore,
    not_measured,
    pause,
)
from tests.conftest import MakeStorage
from tests.support.proxy import Hold, LoseResponse, Proxy, Seen, SendResponse

THREADS = 32
NAMES = [f"name {i}" for i in range(1000)]
FILE = "URI:LIT:krugkidfnzsc4"


class Event(threading.Event):
    """Counts who waits for a flight."""

    waiting = 0
    lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> bool:
        with self.lock:
            Event.waiting += 1
        return super().wait(timeout)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how many threads have begun to wait for another one's flight."""
    Event.waiting = 0
    usual = Flight.__init__

    def init(self: Flight[Any], *rest: Any, **more: Any) -> None:
        usual(self, *rest, **more)
        self.landed = Event()

    monkeypatch.setattr(Flight, "__init__", init)
    return lambda: Event.waiting


def until(true: Callable[[], bool]) -> None:
    """Return when it is true; the test's own timeout ends a wait for ever."""
    while not true():
        time.sleep(0.005)


@pytest.fixture
def far(far: TahoeStorage) -> TahoeStorage:
    """A storage that reaches the gateway through the proxy, and knows nothing."""
    assert far.exists("")
    return far


def is_listing(seen: Seen) -> bool:
    return seen.method == "GET" and "t=json" in seen.target and "/uri/" in seen.target


def listings(proxy: Proxy) -> int:
    return sum(map(is_listing, proxy.seen))


def all_at_once(
    proxy: Proxy, waiting: Callable[[], int], ask: Callable[[int], Any]
) -> list[Any]:
    """Ask in many threads; the first response comes when all of them have asked.

    Either they wait for it, or they have sent a request of their own.
    """
    may = threading.Event()
    proxy.rule(is_listing, Hold(may), times=None)
    assert waiting() == 0
    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(ask, i) for i in range(THREADS)]
        try:
            until(lambda: waiting() + listings(proxy) >= THREADS)
        finally:
            may.set()
        return [each.exception() or each.result() for each in asked]


def fill(root: Cap, grid: LocalGrid, path: str, names: Sequence[str] = NAMES) -> None:
    """Make a directory with these names, in few requests."""
    url = f"{grid.base_url}/uri"
    children: Any = {name: ["filenode", {"ro_uri": FILE}] for name in names}
    for name in reversed(path.split("/")):
        body = json.dumps(children)
        made = requests.post(f"{url}?t=mkdir-with-children", body, timeout=60).text
        children = {name: ["dirnode", {"rw_uri": made}]}
    body = json.dumps(children)
    linked = requests.post(f"{url}/{root.uri}?t=set_children", body, timeout=60)
    linked.raise_for_status()


@pytest.mark.parametrize("path", ["a", "a/b/c", "a/b/c/d/e/f"])
def test_one_request_fills_a_cold_directory_for_all(
    path: str,
    root: Cap,
    tahoe_grid: LocalGrid,
    far: TahoeStorage,
    proxy: Proxy,
    waiting: Callable[[], int],
) -> None:
    fill(root, tahoe_grid, path)

    def ask(i: int) -> Any:
        if i % 4 == 0:
            return len(far.listdir(path)[1]) == len(NAMES)
        if i % 4 == 1:
            return far.size(f"{path}/{NAMES[i]}") == 8
        if i % 4 == 2:
            return not far.exists(f"{path}/none {i}")
        return far.exists(f"{path}/{NAMES[i]}")

    assert all_at_once(proxy, waiting, ask) == [True] * THREADS
    assert listings(proxy) == 1
    assert far.exists(f"{path}/{NAMES[-1]}")
    assert listings(proxy) == 1


def test_storages_of_one_root_and_cache_share_a_request(
    root: Cap,
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
    proxy: Proxy,
    waiting: Callable[[], int],
) -> None:
    fill(root, tahoe_grid, "a/b")
    storages = [make_storage(base_url=proxy.url) for _ in range(THREADS)]
    for each in storages:
        each.exists("")
    names = all_at_once(proxy, waiting, lambda i: storages[i].exists(f"a/b/{NAMES[i]}"))
    assert names == [True] * THREADS
    assert listings(proxy) == 1


def test_threads_that_save_into_a_cold_directory_ask_for_it_once(
    root: Cap,
    tahoe_grid: LocalGrid,
    far: TahoeStorage,
    proxy: Proxy,
    waiting: Callable[[], int],
) -> None:
    fill(root, tahoe_grid, "a/b", NAMES[:5])
    saved = all_at_once(
        proxy, waiting, lambda i: far.save(f"a/b/{i}", ContentFile(b"x"))
    )
    assert saved == [f"a/b/{i}" for i in range(THREADS)]
    assert listings(proxy) == 1


def test_names_that_are_not_there_take_two_requests_to_confirm(
    root: Cap,
    tahoe_grid: LocalGrid,
    far: TahoeStorage,
    proxy: Proxy,
    waiting: Callable[[], int],
) -> None:
    """Before `open` says that a file is missing it has been asked for since then."""
    fill(root, tahoe_grid, "a")
    found = all_at_once(proxy, waiting, lambda i: far.open(f"a/none {i}"))
    assert {type(each) for each in found} == {FileMissing}
    assert listings(proxy) <= 2


def test_a_directory_that_is_not_there_is_looked_for_once(
    far: TahoeStorage, proxy: Proxy, waiting: Callable[[], int]
) -> None:
    found = all_at_once(proxy, waiting, lambda i: far.exists(f"none/below/{i}"))
    assert found == [False] * THREADS
    assert listings(proxy) == 1


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (LoseResponse(), GatewayUnreachable),
        (SendResponse(410, {}, b"NotEnoughSharesError: x"), NotEnoughShares),
    ],
    ids=["no answer", "too few shares"],
)
def test_an_error_is_everybody_s_and_each_has_his_own(
    action: Any,
    kind: type[Exception],
    make_storage: MakeStorage,
    proxy: Proxy,
    waiting: Callable[[], int],
) -> None:
    may = threading.Event()
    far = make_storage(base_url=proxy.url, retries=0)
    assert far.exists("")
    proxy.rule(lambda seen: not may.wait(60), action)
    proxy.rule(is_listing, action, times=None)
    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(far.exists, f"a/{i}") for i in range(THREADS)]
        until(lambda: waiting() == THREADS - 1)
        may.set()
        errors = [each.exception() for each in asked]
    assert {type(error) for error in errors} == {kind}
    assert len(set(map(id, errors))) == THREADS
    assert all(str(e).startswith(f"a/{i}: ") for i, e in enumerate(errors))
    assert listings(proxy) == 1


@pytest.mark.parametrize("path", ["", "a/", "a/b/c/"])
@pytest.mark.parametrize("change", ["save", "delete"])
def test_what_was_changed_in_between_is_asked_for_again(
    path: str,
    change: str,
    root: Cap,
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
    tmp_path: Path,
    proxy: Proxy,
    waiting: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By another process, of which only the counters tell."""
    place = str(tmp_path / "cache")
    near = make_storage(cache={"directory": place, "lifetime": 200})
    for each in ("fill", "fill_path"):
        # What it knows, others would know as well.
        monkeypatch.setattr(near.directories.cache, each, lambda *rest: None)
    near.save(f"{path}old", ContentFile(b"old"))
    far = make_storage(base_url=proxy.url, cache={"directory": place, "lifetime": 300})
    may = threading.Event()
    held = proxy.rule(is_listing, Hold(may))
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(far.exists, f"{path}{change}d")
        assert held.reached.wait(60)
        if change == "save":
            near.save(f"{path}saved", ContentFile(b"new"))
        else:
            near.delete(f"{path}old")
        name = "saved" if change == "save" else "old"
        second = pool.submit(far.exists, f"{path}{name}")
        until(lambda: waiting() == 1)
        may.set()
        assert second.result() is (change == "save")
        first.result()
    assert listings(proxy) == 2


def test_an_earlier_request_is_not_joined_where_nobody_tells_of_changes(
    root: Cap,
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
    proxy: Proxy,
    waiting: Callable[[], int],
) -> None:
    """Without a cache: the second request is for all who came while it was out."""
    far = make_storage(base_url=proxy.url, cache=False)
    assert far.exists("")
    fill(root, tahoe_grid, "a")
    found = all_at_once(proxy, waiting, lambda i: far.exists(f"a/{NAMES[i]}"))
    assert found == [True] * THREADS
    assert listings(proxy) == 2


def test_who_waits_for_another_s_request_has_a_deadline_of_his_own(
    make_storage: MakeStorage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = make_storage(base_url=proxy.url)
    may = threading.Event()
    held = proxy.rule(is_listing, Hold(may))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(far.exists, "a")
        assert held.reached.wait(60)
        gateway = type(far.directories.gateway)
        monkeypatch.setattr(gateway, "request_seconds", property(lambda self: 0.05))
        with pytest.raises(GatewayTimeout, match=r"^b: another thread is asking"):
            far.exists("b")
        may.set()
        assert first.result() is False
    assert listings(proxy) == 1


def test_a_request_that_was_given_up_is_nobody_s_response() -> None:
    shared: SingleFlight = SingleFlight()
    begun, may = threading.Event(), threading.Event()

    def give_up() -> str:
        begun.set()
        may.wait(60)
        raise KeyboardInterrupt

    def share(ask: Callable[[], str]) -> str:
        return shared.share(
            "key",
            ask,
            label="",
            recall=lambda: None,
            ticket=int,
            holds=lambda *a: True,
            seconds=60,
        )

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(share, give_up)
        assert begun.wait(60)
        second = pool.submit(share, lambda: "asked by itself")
        may.set()
        assert second.result() == "asked by itself"
        assert isinstance(first.exception(), KeyboardInterrupt)
    assert shared._asked == {}


def test_a_forked_child_waits_for_nobody(far: TahoeStorage, proxy: Proxy) -> None:
    may = threading.Event()
    held = proxy.rule(is_listing, Hold(may))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(far.exists, "a")
        assert held.reached.wait(60)
        child = os.fork()
        if not child:
            # The thread that asked is not here.
            code = 1
            try:
                code = 0 if far.exists("b") is False else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        may.set()
        first.result()
    assert listings(proxy) == 2


# All orders of a writer and of two readers that share their requests.


class SharedWorld(World):
    """Readers of one process share requests; a script may wait for a flight."""

    shared: SingleFlight
    told: int

    def begin(self, *rest: Any, **more: Any) -> None:
        self.shared = SingleFlight()
        super().begin(*rest, **more)

    def ready(self) -> list[Actor]:
        return [
            actor
            for actor in super().ready()
            if getattr(actor, "waits_for", None) is None or actor.waits_for.is_set()  # type: ignore[attr-defined]
        ]

    def sharer(self, process: int, text: str = "a") -> Script:
        """Look a name up by a request that others may share, and keep its response."""
        cache = self.cache_of(process)

        def ask() -> dict[str, Known]:
            ticket = cache.ticket()
            pause(Kind.STORE, fine=False)
            listing = self.listing()
            pause(fine=False)
            cache.fill(ticket, self.namespace, listing)
            return {text: listing.entry(text)}

        def holds(flight: Flight[dict[str, Known]], mine: Any) -> bool:
            return cache.unchanged(flight.ticket, mine, self.namespace)

        def script() -> None:
            pause(fine=False)
            for name in self.names.values():
                name.asked_since = True
            acknowledged = self.names[text].acknowledged
            response = self.shared.share(
                "",
                ask,
                label="",
                recall=lambda: None,
                ticket=cache.ticket,
                holds=holds,
                seconds=60,
            )
            self.judge(response[text], text, acknowledged, was_changed=False)

        return script


class WaitsInTurn(threading.Event):
    """Lets other actors go on until it is set."""

    def wait(self, timeout: float | None = None) -> bool:
        from tests.cache.test_interleavings import _here

        actor: Any = _here.actor
        actor.waits_for = self
        pause(fine=False)
        actor.waits_for = None
        assert self.is_set()
        return True


@pytest.fixture
def shared_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedWorld:
    usual = Flight.__init__

    def init(self: Flight[Any], *rest: Any, **more: Any) -> None:
        usual(self, *rest, **more)
        self.landed = WaitsInTurn()

    monkeypatch.setattr(Flight, "__init__", init)
    caches = [EntryCache(tmp_path / "cache", lifetime=3600.0) for _ in range(2)]
    return SharedWorld(caches)


def readers_and_writer(action: str, ends: str = "answered") -> Callable[[Any], Any]:
    return lambda world: [
        world.sharer(0),
        world.sharer(0),
        world.writer(1, "a", action, ends=ends),
    ]


PLAYS = {
    "create": Play(readers_and_writer("create"), NONE, filled=False),
    "delete": Play(readers_and_writer("delete"), OLD, filled=False),
    "replace": Play(readers_and_writer("replace"), OLD, filled=False),
    "create, no answer": Play(readers_and_writer("create", "no answer"), NONE),
    "delete, then killed": Play(readers_and_writer("delete", "killed"), OLD),
}


@not_measured
@pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS)
def test_a_shared_request_and_a_write_in_every_order(
    shared_world: SharedWorld, play: Play
) -> None:
    assert explore(shared_world, play) > 50


def test_that_would_fail_if_every_flight_were_taken(
    shared_world: SharedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryCache, "unchanged", lambda *arguments: True)
    with pytest.raises(WrongResult):
        explore(shared_world, PLAYS["create"])


def test_what_became_known_just_before_is_not_asked_for(
    far: TahoeStorage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may land between a look at the cache and one at who asks."""
    far.save("a/b", ContentFile(b"x" * 100))
    far.directories.cache.forget(far.directories.root.namespace)
    usual, asked = SingleFlight.share, list[object]()

    def share(self: SingleFlight, *arguments: Any, **named: Any) -> Any:
        asked.append(arguments[0])
        if len(asked) == 1:
            far.listdir("")
        return usual(self, *arguments, **named)

    monkeypatch.setattr(SingleFlight, "share", share)
    before = listings(proxy)
    assert far.exists("a")
    assert len(asked) == 2
    assert listings(proxy) == before + 1
