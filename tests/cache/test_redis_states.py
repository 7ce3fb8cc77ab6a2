"""What two hosts are told by a Redis on its bad days: never anything wrong."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tahoestorage.cache import (
    MISSING,
    EntryCache,
    Listing,
    Namespace,
    redislocks,
    redisstate,
)
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.storage import TahoeStorage
from tests.conftest import MakeStorage
from tests.support.old_release import Worker
from tests.support.redis_server import RedisServer, running
from tests.support.redis_states import STATES, RedisFault

NAMES = 16

SETUP = """
import json, sys
from django.conf import settings
settings.configure(USE_TZ=True)
import django
django.setup()
from tahoestorage.storage import TahoeStorage
storage = None

def begin(options):
    global storage
    storage = TahoeStorage(**options)

def write(name, text):
    with storage.open(name, "wb") as file:
        file.write(text.encode())

def known(name):
    '''What it says of a name: of itself when asked, and when it is opened.'''
    try:
        with storage.open(name) as file:
            text = file.read().decode()
    except FileNotFoundError:
        text = None
    return [storage.exists(name), text]
"""


COUNT_WAITS = """
import threading
from tahoestorage.cache.errors import RedisUnusable
from tahoestorage.cache.redisstate import RedisState
waits, usual = 0, RedisState._asking

def counted(self, ask):
    try:
        return usual(self, ask)
    except RedisUnusable:
        global waits
        waits += threading.current_thread() is threading.main_thread()
        raise

RedisState._asking = counted
"""


class Host:
    """A process that stands for a host: it shares nothing with others but a Redis."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.pid = worker.process.pid

    def begin(self, storage: TahoeStorage, url: str) -> None:
        options = {
            "base_url": storage.options.base_url,
            "base_cap": storage.options.root.uri,
            "public_base_url": "http://files.example",
            "cache": {"redis": url},
        }
        self._worker.run(f"begin(json.loads({json.dumps(options)!r}))")

    def write(self, name: str, text: str) -> None:
        self._worker.run(f"write({name!r}, {text!r})")

    def delete(self, name: str) -> None:
        self._worker.run(f"storage.delete({name!r})")

    def known(self, name: str) -> tuple[bool, str | None]:
        exists, text = self._worker.ask(f"known({name!r})")
        return exists, text

    def ask(self, expression: str) -> object:
        return self._worker.ask(expression)

    def run(self, statements: str) -> None:
        self._worker.run(statements)

    def end(self) -> None:
        self._worker.end()


MakeHosts = Callable[..., list[Host]]


@pytest.fixture
def hosts(workers: Callable[..., Worker], make_storage: MakeStorage) -> MakeHosts:
    """Start processes with a storage on one root and one Redis; old ones where True."""
    storage = make_storage(cache=False)

    def start(url: str, *old: bool) -> list[Host]:
        started = [Host(workers(each, SETUP)) for each in old]
        for host in started:
            host.begin(storage, url)
        return started

    return start


@contextlib.contextmanager
def server_for(state: RedisFault, tmp_path: Path) -> Iterator[RedisServer]:
    directory, files = tmp_path / "redis", tmp_path / "redis-files"
    directory.mkdir()
    files.mkdir()
    with running(directory, "--dir", str(files), *state.options) as server:
        yield server


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_what_refuses_to_be_told_is_not_believed(
    state: RedisFault, hosts: MakeHosts, tmp_path: Path
) -> None:
    with server_for(state, tmp_path) as server, server.client() as client:
        here, there, idle = hosts(server.url, *[False] * 3)
        names = [f"dir/{number}" for number in range(NAMES)]
        for name in names:
            there.write(name, "first")
        for host in (here, idle):
            assert [host.known(name) for name in names] == [(True, "first")] * NAMES
        state.begin(client)
        wrong = 0
        right: dict[str, tuple[bool, str | None]] = {}
        for number, name in enumerate(names[:-2]):
            if number % 3 == 2:
                there.delete(name)
                right[name] = False, None
            else:
                there.write(name, "second")
                right[name] = True, "second"
            wrong += here.known(name) != right[name]
        assert wrong == 0
        # It is told of nothing afterwards by whoever is gone.
        there.end()
        state.end(client)
        for host in (idle, here, idle):
            wrong += sum(host.known(name) != right[name] for name in right)
        assert wrong == 0
        assert here.known(names[-1]) == (True, "first")


@pytest.mark.parametrize("failing", ["no snapshot", "a replica", "replicas missing"])
def test_what_cannot_be_written_is_not_read(failing: str, tmp_path: Path) -> None:
    state = STATES[failing]
    with server_for(state, tmp_path) as server, server.client() as client:
        cache, namespace = (
            EntryCache(redis=server.url),
            Namespace(b"dir", b"read", b"write"),
        )
        cache.fill(cache.ticket(), namespace, Listing())
        assert cache.entry(namespace, "a") is MISSING
        # Nobody has changed anything: but nobody could tell.
        state.begin(client)
        assert cache.entry(namespace, "a") is None
        state.end(client)
        while cache.entry(namespace, "a") is None:
            time.sleep(0.05)


def test_a_full_redis_is_told_of_changes_and_keeps_nothing_new(tmp_path: Path) -> None:
    state = STATES["full"]
    with server_for(state, tmp_path) as server, server.client() as client:
        here, there = EntryCache(redis=server.url), EntryCache(redis=server.url)
        namespace, other = (
            Namespace(b"%d" % n, b"r%d" % n, b"w%d" % n) for n in range(2)
        )
        here.fill(here.ticket(), namespace, Listing())
        assert there.entry(namespace, "a") is MISSING
        state.begin(client)
        there.fill(there.ticket(), other, Listing())
        assert here.entry(other, "a") is None
        # Whoever has read it holds it in memory.
        assert there.entry(other, "a") is MISSING
        made = Entry(EntryKind.FILE, "made")
        for each in (namespace, other):
            here.change(each, "a").done(made)
        assert there.entry(namespace, "a") == made
        assert there.entry(other, "a") is None
        with here.lock(namespace, "a", 30.0) as lock:
            lock.renew()
        assert not lock.lost


HOLD_A_LOCK = """
from tahoestorage.cache import EntryCache, Namespace
cache, namespace = EntryCache(redis={url!r}), Namespace(b"dir", b"read", b"write")
lock = cache.lock(namespace, "a/b", {seconds}, longest=3600.0)
lock.__enter__()
lock.renew()
"""


def test_the_lock_of_a_writer_that_was_killed_ends_by_itself(
    workers: Callable[..., Worker], own_redis: RedisServer
) -> None:
    worker = workers(False, HOLD_A_LOCK.format(url=own_redis.url, seconds=2.0))
    worker.end()
    with own_redis.client() as client:
        locks = redislocks.RedisLocks(client)
        name = Namespace(b"dir", b"read", b"write").key(b"turn").hex()
        assert client.hexists(redislocks.LOCKS, name)
        # It was renewed just before, and times are whole seconds here.
        ends = client.time()[0] + 5
        while True:
            asked = client.time()[0]
            if locks.take(name, "ours", 2.0):
                break
            assert asked < ends
            time.sleep(0.02)


def test_the_lock_of_a_writer_that_lives_is_prolonged(
    workers: Callable[..., Worker], own_redis: RedisServer
) -> None:
    """However long its requests take, it outlives the process by the time given."""
    worker = workers(False, HOLD_A_LOCK.format(url=own_redis.url, seconds=8.0))
    name = Namespace(b"dir", b"read", b"write").key(b"turn").hex()
    with own_redis.client() as client:

        def ends() -> float:
            """Return in how many seconds the lock ends."""
            seconds, microseconds = client.time()
            held = client.hget(redislocks.LOCKS, name)
            left: float = int(held.split()[1]) / 1000 - seconds - microseconds / 1e6
            return left

        # For longer than it would last by itself.
        until = client.time()[0] + 10
        while client.time()[0] < until:
            assert ends() > 0
            time.sleep(0.05)
        worker.end()
        assert ends() <= 8.0 + 8.0 / 8


@pytest.mark.parametrize("loses", ["its counters", "everything", "what it likes"])
def test_what_has_lost_its_counters_is_not_believed(
    loses: str, hosts: MakeHosts, own_redis: RedisServer
) -> None:
    with own_redis.client() as client:
        if loses == "what it likes":
            client.config_set("maxmemory-policy", "allkeys-random")
        here, there = hosts(own_redis.url, *[False] * 2)
        wrong = 0
        for number in range(2 * NAMES):
            name = f"dir/{number % NAMES}"
            there.write(name, str(number))
            before = here.known(name)
            if loses == "its counters":
                client.delete("tahoestorage:state")
            elif loses == "everything":
                client.flushall()
            else:
                evict_some(client)
            if number % 3 == 0:
                # Somebody comes before the one who writes.
                here.known("dir/0")
            there.write(name, "again")
            wrong += before != (True, str(number))
            wrong += here.known(name) != (True, "again")
        assert wrong == 0


def evict_some(client: redis.Redis) -> None:
    """Have it short of memory until the counters are gone."""
    least = client.info("memory")["used_memory_startup"]
    client.config_set("maxmemory", least)
    while client.exists("tahoestorage:state"):
        client.set("more", "1")
    client.config_set("maxmemory", 0)


def test_what_hangs_costs_a_second_once_and_is_told_when_it_goes_on(
    hosts: MakeHosts, own_redis: RedisServer
) -> None:
    here, there, idle = hosts(own_redis.url, *[False] * 3)
    names = [f"dir/{number}" for number in range(NAMES)]
    for name in names:
        there.write(name, "first")
    assert [idle.known(name) for name in names] == [(True, "first")] * NAMES
    there.run(COUNT_WAITS)
    with own_redis.hanging():
        for name in names:
            there.write(name, "third")
        # Half a second each for the connection and for the response.
        assert there.ask("waits") == 1
        # Whoever can't ask it asks the gateway.
        assert [here.known(name) for name in names] == [(True, "third")] * NAMES
        there.end()
    assert [idle.known(name) for name in names] == [(True, "third")] * NAMES
    assert redisstate.CONNECT_SECONDS + redisstate.RESPONSE_SECONDS <= 1


@contextlib.contextmanager
def gone(server: RedisServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.mark.parametrize("away", [RedisServer.hanging, gone], ids=["hung", "gone"])
def test_while_it_is_away_nobody_is_told_what_was_true_just_now(
    away: Callable[[RedisServer], contextlib.AbstractContextManager[None]],
    hosts: MakeHosts,
    own_redis: RedisServer,
) -> None:
    here, there = hosts(own_redis.url, *[False] * 2)
    there.write("dir/a", "before")
    with away(own_redis):
        for number in range(3):
            there.write("dir/a", str(number))
            assert here.known("dir/a") == (True, str(number))
        there.delete("dir/a")
        assert here.known("dir/a") == (False, None)
        there.write("dir/a", "again")
    assert here.known("dir/a") == (True, "again")


@pytest.mark.parametrize("first_old", [True, False], ids=["old first", "new first"])
def test_workers_of_the_release_before_see_the_same(
    first_old: bool, hosts: MakeHosts, own_redis: RedisServer
) -> None:
    one, other = hosts(own_redis.url, first_old, not first_old)
    wrong = 0
    for number in range(NAMES):
        name = f"dir/{number % 5}"
        for writer, reader in ((one, other), (other, one)):
            writer.write(name, f"written {number}")
            wrong += reader.known(name) != (True, f"written {number}")
            reader.delete(name)
            wrong += writer.known(name) != (False, None)
            writer.write(name, f"again {number}")
            wrong += reader.known(name) != (True, f"again {number}")
    assert wrong == 0
    with own_redis.client() as client:
        # One has not simply begun anew what the other had counted.
        assert int(client.hget("tahoestorage:state", "seq") or 0) > 4 * NAMES
