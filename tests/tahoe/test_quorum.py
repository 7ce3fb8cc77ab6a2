"""Changes of directories are made where enough storage servers are there, and else not.

What the gateway says of its servers is made up here; on real ones, see
``test_quorum_grids``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests
from django.core.checks import Warning
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.checks.gateways import ask
from tahoestorage.exceptions import (
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    NotEnoughServers,
    UnexpectedResponse,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker, serverlist
from tahoestorage.tahoe.caps import Cap, Shares, literal_cap
from tahoestorage.tahoe.errors import error_from_response
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.parsing import Server
from tahoestorage.tahoe.quorum import Quorum, check
from tahoestorage.tahoe.serverfacts import SHORT_ID, Availability, Facts, ServerRules
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.proxy import HoldRequest, Proxy, Seen, SendResponse

LONG = b"longer than a cap can hold " * 4
OF_FOUR = Shares(2, 4)
OF_TEN = Shares(3, 10)


class Clock:
    """The time by which lists grow old."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(serverlist, "time", clock)
    return clock


def servers(up: str, away: str = "", full: str = "", unseen: str = "") -> Any:
    """Return servers whose ids are these letters."""
    found = [Server(id, id.upper(), True, True, full=False) for id in up]
    found += [Server(id, id.upper(), False, True, full=False) for id in away]
    found += [Server(id, id.upper(), True, True, full=True) for id in full]
    found += [Server(id, id.upper(), False, False, full=False) for id in unseen]
    return tuple(found)


def facts(ids: str, fewest: int | None = None) -> Facts:
    return Facts({id: id.upper() for id in ids}, fewest or len(ids))


def judge(
    listed: tuple[Server, ...],
    known: Facts,
    shares: Shares | None = OF_FOUR,
    *,
    making: bool = False,
    **rules: Any,
) -> Facts:
    availability = Availability.of(listed, known, ServerRules(**rules))
    cut = [] if shares is None else [shares]
    return check(availability, known, cut, "photos/a.jpg", making=making)


# The rule


@pytest.mark.parametrize(
    "listed",
    [
        servers("abcd"),
        servers("abc", away="d"),
        servers("abc", full="d"),
        # The list of a gateway that was started without it.
        servers("abc"),
        servers("abc", unseen="d"),
    ],
)
def test_a_change_is_made_while_few_servers_are_away(listed: Any) -> None:
    judge(listed, facts("abcd"))


@pytest.mark.parametrize(
    "listed",
    [
        servers("ab", away="cd"),
        servers("ab", full="cd"),
        servers("ab", away="c", full="d"),
        servers("ab"),
        servers("ab", unseen="cd"),
        servers("abxyz", away="cd"),
    ],
)
def test_a_change_is_refused_where_too_many_are_away(listed: Any) -> None:
    with pytest.raises(NotEnoughServers) as caught:
        judge(listed, facts("abcd"))
    assert "photos/a.jpg: nothing was changed, for 2 of " in str(caught.value)
    assert "and 1 may be missed" in str(caught.value)


def test_the_refusal_names_those_that_are_away_and_says_what_to_do() -> None:
    long = "v0-" + "abcdefgh" * 6
    known = Facts({long: "cellar", "b": "b", "c": "", "d": "D"}, 4)
    listed = (
        Server("d", "attic", True, True, full=True),
        Server("c", "", True, True, full=False),
    )
    with pytest.raises(NotEnoughServers) as caught:
        judge(listed, known)
    said = str(caught.value)
    assert f"D (d) is full; b is away; cellar ({long[:SHORT_ID]}) is away." in said
    assert "Make room" in said
    assert "retired_servers" in said


@pytest.mark.parametrize(
    ("listed", "rules", "named"),
    [
        (servers("abcd"), {}, []),
        # The leases on one that is full can be renewed.
        (servers("ab", away="c", full="d"), {}, ["C (c)"]),
        (servers("abc"), {}, ["D (d)"]),
        (servers("abc", away="d"), {"retired": ("d",)}, []),
        (servers("abcd"), {"count": 5}, ["1 more (option server_count)"]),
    ],
)
def test_those_that_are_not_connected_are_named(
    listed: Any, rules: dict[str, Any], named: list[str]
) -> None:
    availability = Availability.of(listed, facts("abcd"), ServerRules(**rules))
    assert availability.unconnected() == named


def test_one_that_no_gateway_of_ours_ever_saw_is_not_waited_for() -> None:
    judge(servers("ab", unseen="xyz"), facts("ab"), Shares(1, 2))


def test_what_the_gateway_sees_for_the_first_time_is_learned() -> None:
    learned = judge(servers("abcd", away="e"), facts("abcd"), OF_FOUR)
    assert set(learned.servers) == set("abcde")
    assert learned.fewest == 4


def test_a_directory_made_while_one_is_away_counts_as_made_on_all() -> None:
    learned = judge(servers("abc", away="d"), facts("abcd"), making=True)
    assert learned.fewest == 4


def test_a_directory_made_while_several_are_away_counts_as_made_on_the_others() -> None:
    ten = "abcdefghij"
    learned = judge(servers(ten[:8], away="ij"), facts(ten), OF_TEN, making=True)
    assert learned.fewest == 8
    # From then on two may be away, and not three.
    judge(servers(ten[:8]), learned, OF_TEN)
    with pytest.raises(NotEnoughServers, match="and 2 may be missed"):
        judge(servers(ten[:7]), learned, OF_TEN)


def test_no_directory_is_made_that_could_not_be_changed_then() -> None:
    ten = "abcdefghij"
    judge(servers(ten[:7]), facts(ten), OF_TEN)
    with pytest.raises(NotEnoughServers, match="no directory was made"):
        judge(servers(ten[:7]), facts(ten), OF_TEN, making=True)


def test_a_grid_that_has_grown_goes_by_those_that_were_there_before() -> None:
    known = Facts(dict.fromkeys("abcd", ""), 2)
    with pytest.raises(NotEnoughServers, match="and none may be missed"):
        judge(servers("abc"), known)
    # Unless its owner says that all directories were made since.
    judge(servers("abc"), known, count=4)


def test_the_worst_number_between_counts() -> None:
    # On six servers each has two of twelve; on seven, two have one alone.
    shares = Shares(4, 12)
    judge(servers("abcd", away="ef"), facts("abcdef"), shares)
    with pytest.raises(NotEnoughServers):
        judge(servers("abcde", away="fg"), facts("abcdefg", 6), shares)


def test_the_owner_may_know_of_servers_that_were_never_seen() -> None:
    judge(servers("ab"), facts("ab"), Shares(1, 2))
    with pytest.raises(NotEnoughServers, match="2 more should be there"):
        judge(servers("ab"), facts("ab"), count=4)


def test_one_that_never_comes_back_is_not_waited_for() -> None:
    listed = servers("abc", away="de")
    with pytest.raises(NotEnoughServers):
        judge(listed, facts("abcde"))
    judge(listed, facts("abcde"), retired=("e",))
    long = "v0-" + "abcdefgh" * 6
    assert ServerRules(retired=(long[:SHORT_ID],)).is_retired(long)
    assert not ServerRules(retired=(long[: SHORT_ID - 1],)).is_retired(long)


def test_where_nobody_knows_how_directories_are_cut_all_must_be_there() -> None:
    judge(servers("abcd"), facts("abcd"), None)
    with pytest.raises(NotEnoughServers, match="and none may be missed"):
        judge(servers("abc"), facts("abcd"), None)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"servers": 5, "fewest": "4", "shares": {}},
        {"servers": {"": "x"}, "fewest": 0, "shares": [[4, 2], [1], [True, 2], "ab"]},
        {"servers": [["a", "b"]], "fewest": True, "shares": [[0, 1], [1, 1000]]},
    ],
)
def test_facts_that_make_no_sense_are_none(told: Any) -> None:
    assert Facts.parse(told) == Facts()


def test_facts_are_read_as_they_were_kept() -> None:
    known = Facts({"a": "A", "b": ""}, 2, frozenset({OF_FOUR, OF_TEN}))
    assert Facts.parse(json.loads(json.dumps(known.as_metadata()))) == known


def test_an_upload_that_full_servers_refuse_says_so() -> None:
    text = (
        "allmydata.interfaces.UploadUnhappinessError: shares could be placed on only "
        "2 server(s) (4 placed none (of which %d placed none due to the server being "
        "full and 0 placed none due to an error))"
    )
    full, not_full = (error_from_response(500, text % count, "a") for count in (4, 0))
    assert isinstance(full, NotEnoughServers)
    assert "they are full: make room" in str(full)
    assert "full" not in str(not_full)


# How often it is asked


def test_a_healthy_grid_is_asked_for_its_servers_once_a_second(
    clock: Clock, far: TahoeStorage, proxy: Proxy
) -> None:
    def lists() -> int:
        return sum(seen.target == "/?t=json" for seen in proxy.guards)

    for number in range(3):
        far.save(f"a{number}/b/c", ContentFile(LONG))
        far.delete(f"a{number}/b/c")
    assert (lists(), len(proxy.guards)) == (1, 2)
    clock.now += 1.0
    far.save("d", ContentFile(b"literal"))
    assert lists() == 1
    clock.now += 0.1
    far.save("e", ContentFile(b"literal"))
    assert (lists(), len(proxy.guards)) == (2, 3)


def test_all_that_is_known_is_shared_by_the_storages_of_a_process(
    clock: Clock, make_storage: MakeStorage, proxy: Proxy
) -> None:
    for retries in (1, 2):
        storage = make_storage(base_url=proxy.url, retries=retries)
        storage.save("a", ContentFile(LONG))
    assert len(proxy.guards) == 2


def test_reading_asks_nothing_of_this(far: TahoeStorage, proxy: Proxy) -> None:
    far.listdir("")
    assert not far.exists("a")
    assert proxy.guards == []


TEN = "abcdefghi"  # and the one that there is


def root_on_ten(grid: LocalGrid) -> Cap:
    """Make a root that says it was made on ten servers, in shares of which 3 do."""
    known = Facts(dict.fromkeys(["node", *TEN], ""), 10, frozenset({OF_TEN}))
    with contextlib.closing(Gateway(grid.base_url)) as gateway:
        return marker.make_root(gateway, facts=known.as_metadata())


def test_what_another_host_keeps_counts_within_a_second_while_one_is_away(
    clock: Clock,
    proxy: Proxy,
    listing: Callable[..., None],
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
) -> None:
    root = root_on_ten(tahoe_grid)
    listing("abcdef", away="ghi")
    with contextlib.closing(Gateway(proxy.url)) as gateway:
        quorum = Quorum(gateway, root)
        quorum.require("x")
        other = make_storage(base_cap=root.uri, cache=False)
        # Whose gateway missed two, and had a directory made on the others.
        other.links.change_facts(lambda facts: {**facts, "fewest": 8})
        clock.now += 1.1
        with pytest.raises(NotEnoughServers, match="and 2 may be missed"):
            quorum.require("x")


def test_no_directory_is_made_on_fewer_servers_where_that_can_not_be_kept(
    clock: Clock, proxy: Proxy, listing: Callable[..., None], tahoe_grid: LocalGrid
) -> None:
    root = root_on_ten(tahoe_grid)
    listing("abcdefg", away="hi")
    with contextlib.closing(Gateway(proxy.url)) as gateway:
        quorum = Quorum(gateway, root)
        for _ in range(2):
            with pytest.raises(NotEnoughServers, match="x: no directory was made"):
                quorum.prepare("x", lambda change: None, making=True)
        quorum.prepare("x", lambda change: None)
        listing(TEN)
        quorum.invalidate()
        quorum.prepare("x", lambda change: None, making=True)


def test_a_server_that_goes_while_a_tree_is_made_is_kept_before_it_is_linked(
    clock: Clock,
    proxy: Proxy,
    listing: Callable[..., None],
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
) -> None:
    root = root_on_ten(tahoe_grid)
    storage = make_storage(base_url=proxy.url, base_cap=root.uri, cache=False)
    listing(TEN)
    fewest: list[int | None] = []

    def look(seen: Seen) -> bool:
        if "t=set_children" in seen.target:
            told = marker.read_facts(direct, root)
            fewest.append(Facts.parse(told).fewest)
        return False

    with contextlib.closing(Gateway(tahoe_grid.base_url)) as direct:
        gone = HoldRequest(threading.Event())
        making = proxy.rule(lambda seen: seen.target.startswith("/uri?t=mkdir"), gone)
        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(storage.save, "a/b", ContentFile(b"literal"))
            assert making.reached.wait(60)
            listing("abcdefg", away="hi")
            proxy.rule(look, SendResponse())
            clock.now += 1.1
            gone.event.set()
            saving.result(60)
    # The facts, and then the link.
    assert fewest == [10, 8]


def test_while_one_is_away_the_root_is_read_once_a_second_and_else_not_again(
    clock: Clock, proxy: Proxy, listing: Callable[..., None], tahoe_grid: LocalGrid
) -> None:
    root = root_on_ten(tahoe_grid)

    def reads(quorum: Quorum, seconds: int) -> int:
        proxy.guards.clear()
        for _ in range(4 * seconds):
            for _ in range(3):
                quorum.require("x")
            clock.now += 0.25
        return sum(seen.path.endswith(f"/{marker.NAME}") for seen in proxy.guards)

    with contextlib.closing(Gateway(proxy.url)) as gateway:
        quorum = Quorum(gateway, root)
        listing(TEN)
        assert reads(quorum, 10) == 1
        listing(TEN[:-1], away=TEN[-1])
        assert 5 <= reads(quorum, 10) <= 10
        # It is back, and goes again: at once.
        listing(TEN)
        quorum.invalidate()
        assert reads(quorum, 10) == 1
        listing(TEN[:-1], away=TEN[-1])
        quorum.invalidate()
        assert reads(quorum, 1) == 1


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Count what is read of facts; what is in the list is called at each reading."""
    called: list[Callable[[], None]] = []
    read = marker.read

    def counted(gateway: Gateway, root: Cap) -> marker.MarkerFacts:
        found = read(gateway, root)
        called[0]()
        called.append(called[0])
        return found

    monkeypatch.setattr(marker, "read", counted)
    return called


def test_who_waited_shares_the_reading_that_began_after_he_came(
    clock: Clock,
    proxy: Proxy,
    listing: Callable[..., None],
    tahoe_grid: LocalGrid,
    readings: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, look = root_on_ten(tahoe_grid), serverlist.ServerList.look
    listing(TEN[:-1], away=TEN[-1])
    came, is_read, go = threading.Semaphore(0), threading.Event(), threading.Event()

    def slow() -> None:
        is_read.set()
        assert go.wait(60)
        clock.now += 1.2

    def looked(self: serverlist.ServerList, gateway: Gateway) -> object:
        came.release()
        return look(self, gateway)

    readings.append(slow)
    monkeypatch.setattr(serverlist.ServerList, "look", looked)
    with (
        contextlib.closing(Gateway(proxy.url)) as gateway,
        ThreadPoolExecutor(6) as pool,
    ):
        quorum = Quorum(gateway, root)
        checks = [pool.submit(quorum.require, "x")]
        assert is_read.wait(60)
        clock.now += 0.5
        checks += [pool.submit(quorum.require, "x") for _ in range(5)]
        for _ in range(6):
            assert came.acquire(timeout=30)
        go.set()
        for check in checks:
            check.result(60)
    assert len(readings) - 1 == 2


def test_a_change_reads_once_what_takes_longer_than_a_second_to_read(
    clock: Clock,
    proxy: Proxy,
    listing: Callable[..., None],
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
    readings: list[Callable[[], None]],
) -> None:
    root = root_on_ten(tahoe_grid)
    storage = make_storage(base_url=proxy.url, base_cap=root.uri, cache=False)
    listing(TEN[:-1], away=TEN[-1])

    def slow() -> None:
        clock.now += 1.2

    readings.append(slow)
    literal = literal_cap(b"literal")
    storage.links.add(("a",), literal)
    assert len(readings) - 1 == 1
    # What was asked for more than a second before a change began is not used.
    storage.links.add(("b",), literal)
    assert len(readings) - 1 == 2
    storage.links.unlink(("a",))
    assert len(readings) - 1 == 3
    # Nor what arrived more than a second ago, however long a change takes.
    quorum = storage.links.quorum
    since = quorum.prepare("x", lambda change: None)
    clock.now += 1.1
    quorum.require("x", since=since)
    assert len(readings) - 1 == 5


def test_a_save_reads_once_for_its_upload_and_its_links(
    clock: Clock,
    proxy: Proxy,
    listing: Callable[..., None],
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
    readings: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = root_on_ten(tahoe_grid)
    storage = make_storage(base_url=proxy.url, base_cap=root.uri, cache=False)
    listing(TEN[:-1], away=TEN[-1])

    def slow() -> None:
        clock.now += 1.2

    readings.append(slow)
    # What a cap holds itself needs no server.
    content = b"literal"
    saves: list[Callable[[], object]] = [
        lambda: storage.save("a", ContentFile(content)),
        lambda: storage.copy("a", "b"),
    ]
    for count, save in enumerate(saves, 1):
        save()
        assert len(readings) - 1 == count
        clock.now += 1.1
    # Of content that takes longer to come than what was read may be used.
    late = ContentFile(content)

    def chunks(chunk_size: int | None = None) -> Iterator[bytes]:
        clock.now += 1.1
        yield content

    monkeypatch.setattr(late, "chunks", chunks)
    storage.save("c", late)
    # Once before it, and once for the link.
    assert len(readings) - 1 == len(saves) + 2


def test_gateways_whose_lists_differ_do_not_undo_what_each_other_read(
    clock: Clock,
    proxy: Proxy,
    tahoe_grid: LocalGrid,
    readings: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = root_on_ten(tahoe_grid)
    node = Server("node", "node", True, True, full=False)
    readings.append(lambda: None)
    with (
        contextlib.closing(Gateway(proxy.url)) as one,
        contextlib.closing(Gateway(tahoe_grid.base_url)) as two,
    ):
        monkeypatch.setattr(one, "servers", lambda: (node, *servers(TEN)))
        monkeypatch.setattr(two, "servers", lambda: (node, *servers(TEN, unseen="z")))
        first, second = Quorum(one, root), Quorum(two, root)
        for _ in range(5):
            first.require("x")
            second.require("x")
        assert len(readings) - 1 == 2
        # A nickname is no reason to read either; a server that is full is one.
        renamed = replace(node, nickname="other")
        for found, reads in ((renamed, 2), (replace(renamed, full=True), 3)):
            monkeypatch.setattr(one, "servers", lambda it=found: (it, *servers(TEN)))
            first.invalidate()
            first.require("x")
            assert len(readings) - 1 == reads


def test_facts_that_the_marker_has_lost_are_stored_again(
    clock: Clock,
    proxy: Proxy,
    listing: Callable[..., None],
    tahoe_grid: LocalGrid,
    make_storage: MakeStorage,
) -> None:
    root = root_on_ten(tahoe_grid)
    storage = make_storage(base_url=proxy.url, base_cap=root.uri, cache=False)
    listing(TEN)
    storage.save("a", ContentFile(b"literal"))
    gateway = storage.directories.gateway
    gateway.unlink(root, marker.NAME, label="x")
    listing(TEN[:-1], away=TEN[-1])
    storage.links.quorum.invalidate()
    storage.save("b", ContentFile(b"literal"))
    kept = Facts.parse(marker.read_facts(gateway, root))
    assert set(kept.servers) == {"node", *TEN}
    assert (kept.fewest, OF_TEN in kept.shares) == (10, True)


def test_facts_that_can_not_be_stored_are_not_tried_at_each_change(
    clock: Clock, tahoe_grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_on_ten(tahoe_grid)
    monkeypatch.setattr(marker, "read", lambda *_: marker.MarkerFacts(link=None))
    tried: list[object] = []
    with contextlib.closing(Gateway(tahoe_grid.base_url)) as gateway:
        quorum = Quorum(gateway, root)
        for listed in (servers("ab"), servers("ab", unseen="z"), servers("abc")):
            monkeypatch.setattr(gateway, "servers", lambda it=listed: it)
            quorum.invalidate()
            for _ in range(2):
                quorum.prepare("x", tried.append)
    assert len(tried) == 2


def test_many_threads_wait_for_one_response(
    clock: Clock, far: TahoeStorage, proxy: Proxy
) -> None:
    go, start = threading.Event(), threading.Barrier(17)
    held = proxy.rule(lambda seen: True, HoldRequest(go), guards=True)

    def save(number: int) -> str:
        start.wait(60)
        return far.save(f"file {number}", ContentFile(b"literal"))

    with ThreadPoolExecutor(16) as pool:
        saved = [pool.submit(save, number) for number in range(16)]
        start.wait(60)
        assert held.reached.wait(60)
        go.set()
        assert len({each.result(60) for each in saved}) == 16
    assert len(proxy.guards) == 2


def test_who_comes_after_a_failure_asks_again(
    clock: Clock, far: TahoeStorage, proxy: Proxy
) -> None:
    far.save("a", ContentFile(b"literal"))
    proxy.rule(lambda seen: seen.method == "POST", SendResponse(500), times=1)
    far.save("b", ContentFile(b"literal"))
    assert sum(seen.target == "/?t=json" for seen in proxy.guards) == 2


def test_a_gateway_that_hangs_is_waited_for_once(
    make_storage: MakeStorage, proxy: Proxy
) -> None:
    storage = make_storage(base_url=proxy.url, read_timeout=1.0, retries=0)
    start = threading.Barrier(8)
    held = threading.Event()
    proxy.rule(lambda seen: True, HoldRequest(held), times=None, guards=True)

    def save(number: int) -> BaseException | None:
        start.wait(60)
        try:
            storage.save(f"file {number}", ContentFile(LONG))
        except GatewayError as error:
            return error
        return None

    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(save, range(8)))
    held.set()
    # Who came a moment late is told that it stopped responding.
    assert {type(e) for e in errors} <= {GatewayTimeout, GatewayUnreachable}
    assert len(proxy.guards) < 8
    assert {seen.method for seen in proxy.seen} == {"GET"}


def test_a_child_of_a_fork_waits_for_no_thread_of_its_parent(
    make_storage: MakeStorage,
) -> None:
    storage = make_storage()
    quorum = storage.links.quorum
    with quorum._state.reading, quorum._state.keeping, quorum._list._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                storage.save("a", ContentFile(b"literal"))
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert storage.exists("a")


# What gateways may say


@pytest.fixture
def listing(proxy: Proxy) -> Callable[..., None]:
    """Let the gateway list these servers."""

    def tell(up: str, away: str = "") -> None:
        # "node" is the one that there is.
        found = [
            {
                "nodeid": id,
                "nickname": id.upper(),
                "connection_status": "Connected" if is_up else "Trying to connect",
                "version": "tahoe",
            }
            for ids, is_up in ((["node", *up], True), (away, False))
            for id in ids
        ]
        body = json.dumps({"servers": found}).encode()
        proxy.clear()
        proxy.rule(
            lambda seen: seen.target == "/?t=json",
            SendResponse(200, {}, body),
            times=None,
            guards=True,
        )

    return tell


CHANGES: dict[str, Callable[[TahoeStorage], object]] = {
    "save": lambda it: it.save("dir/new", ContentFile(LONG)),
    "literal": lambda it: it.save("dir/new", ContentFile(b"literal")),
    "mkdir": lambda it: it.save("a/new/tree/new", ContentFile(b"literal")),
    "copy": lambda it: it.copy("dir/file", "dir/copy"),
    "move": lambda it: it.move("dir/file", "dir/moved"),
    "delete": lambda it: it.delete("dir/file"),
    "delete what is not seen": lambda it: it.delete("dir/unseen"),
    "open": lambda it: it.open("dir/file", "wb").close(),
    "open x": lambda it: it.open("dir/new", "xb").close(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_sent_of_a_change_that_is_refused(
    far: TahoeStorage, proxy: Proxy, listing: Callable[..., None], change: str
) -> None:
    listing("ab")
    far.save("dir/file", ContentFile(LONG))
    far.links.quorum.invalidate()
    listing("a", away="b")
    with pytest.raises(NotEnoughServers, match=r": B \(b\) is away\."):
        CHANGES[change](far)
    assert {seen.method for seen in proxy.seen} <= {"GET"}


def test_a_server_that_has_just_come_back_is_seen_before_a_change_is_refused(
    clock: Clock, far: TahoeStorage, proxy: Proxy, listing: Callable[..., None]
) -> None:
    def lists() -> int:
        return sum(seen.target == "/?t=json" for seen in proxy.guards)

    listing("ab")
    far.save("a", ContentFile(b"literal"))
    clock.now += 1.1
    listing("a", away="b")
    with pytest.raises(NotEnoughServers):
        far.save("b", ContentFile(b"literal"))
    assert lists() == 1
    clock.now += 0.1
    listing("ab")
    far.save("b", ContentFile(b"literal"))
    assert lists() == 1


def test_what_is_new_of_the_servers_is_kept_with_the_root(
    far: TahoeStorage, listing: Callable[..., None], root: Cap, proxy: Proxy
) -> None:
    listing("ab")
    far.save("a", ContentFile(b"literal"))
    listing("abc")
    far.links.quorum.invalidate()
    with requests_sent() as sent:
        far.save("b", ContentFile(b"literal"))
        far.save("c", ContentFile(b"literal"))
    assert sent.verbs == ["POST"] * 3
    gateway = far.directories.gateway
    kept = Facts.parse(marker.read_facts(gateway, root))
    assert set(kept.servers) == {"node", "a", "b", "c"}
    assert kept.fewest == 1


def test_a_root_of_before_gets_what_is_known_at_its_first_change(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    base = tahoe_grid.base_url
    root = requests.post(f"{base}/uri?t=mkdir", timeout=30).text
    storage = make_storage(base_cap=root)
    storage.save("a", ContentFile(LONG))
    with requests_sent() as sent:
        storage.save("b", ContentFile(b"literal"))
    assert sent.verbs == ["POST"]
    told = marker.read_facts(storage.directories.gateway, Cap.parse(root))
    kept = Facts.parse(told)
    assert (len(kept.servers), kept.fewest) == (1, 1)


@pytest.mark.parametrize(
    "response",
    [
        *map(SendResponse, (400, 401, 403, 404)),
        SendResponse(200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"),
    ],
)
def test_where_the_list_is_not_shown_changes_go_unguarded(
    make_storage: MakeStorage,
    proxy: Proxy,
    response: SendResponse,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.rule(lambda seen: True, response, times=None, guards=True)
    storage = make_storage(base_url=proxy.url)
    with caplog.at_level(logging.WARNING):
        storage.save("a/b", ContentFile(LONG))
        storage.delete("a/b")
    warned = [each for each in caplog.records if each.name == "tahoestorage.quorum"]
    assert len(warned) == 1
    assert "however few" in warned[0].getMessage()
    # Nothing else is asked either.
    assert {seen.target for seen in proxy.guards} == {"/?t=json"}


def test_the_check_warns_where_the_list_is_not_shown(proxy: Proxy) -> None:
    proxy.rule(lambda seen: True, SendResponse(403), times=None, guards=True)
    (finding,) = ask(proxy.url)
    assert (finding.level, finding.id) == (Warning, "W008")


LOGIN = {"Location": "https://login.example/"}


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (SendResponse(500), "responded with 500"),
        (SendResponse(501), "responded with 501"),
        (SendResponse(429), "no more requests for now"),
        (SendResponse(405), "responded with 405"),
        (SendResponse(301, LOGIN), "redirects elsewhere; set base_url"),
        (SendResponse(302, LOGIN), "redirects elsewhere; set base_url"),
        (SendResponse(307, LOGIN), "redirects elsewhere; set base_url"),
        (SendResponse(204), "responded with 204"),
    ],
)
def test_a_list_that_fails_is_not_taken_for_one_that_is_not_shown(
    make_storage: MakeStorage, proxy: Proxy, response: SendResponse, said: str
) -> None:
    proxy.rule(lambda seen: True, response, times=None, guards=True)
    storage = make_storage(base_url=proxy.url, retries=0)
    with pytest.raises(UnexpectedResponse, match=said) as caught:
        storage.save("a", ContentFile(b"literal"))
    assert "GET /?t=json" in str(caught.value)
    assert {seen.method for seen in proxy.seen} == {"GET"}


def test_a_list_that_a_busy_proxy_refuses_is_asked_for_again(
    make_storage: MakeStorage, proxy: Proxy
) -> None:
    proxy.rule(lambda seen: True, SendResponse(429), times=2, guards=True)
    make_storage(base_url=proxy.url, retries=2).save("a", ContentFile(b"literal"))
    assert [seen.target for seen in proxy.guards[:3]] == ["/?t=json"] * 3


def test_the_check_says_what_a_login_page_in_the_gateway_s_place_is(
    proxy: Proxy,
) -> None:
    proxy.rule(lambda seen: True, SendResponse(302, LOGIN), times=None, guards=True)
    (finding,) = ask(proxy.url)
    assert finding.id == "E005"
    assert "redirects elsewhere" in finding.text


def test_a_storage_takes_both_options_from_the_settings(
    settings: Settings, make_storage: MakeStorage
) -> None:
    settings.TAHOE_STORAGE_SERVER_COUNT = 4
    settings.TAHOE_STORAGE_RETIRED_SERVERS = ["v0-gone"]
    storage = make_storage()
    assert storage.links.quorum._rules == ServerRules(4, ("v0-gone",))
    with pytest.raises(NotEnoughServers, match="3 more should be there"):
        storage.save("a", ContentFile(b"literal"))


def test_a_root_of_which_nothing_is_known_counts_all_that_are_announced() -> None:
    with pytest.raises(NotEnoughServers, match="c"):
        judge(servers("ab", unseen="cd"), Facts())
    judge(servers("abc", unseen="d"), Facts())
