"""The cache that several hosts share in a Redis."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import pickle
import secrets
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.management import call_command
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from tahoestorage.cache import (
    MISSING,
    EntryCache,
    Listing,
    Namespace,
    errors,
    redisaccess,
    redislocks,
    redisstate,
)
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import GatewayTimeout, WriteCollision
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid
from tests.cache.test_interleavings import (
    FINE,
    PROCESSES,
    READER_AND_WRITER,
    Play,
    World,
    WrongResult,
    explore,
    not_measured,
    pause,
    play_at_random,
)
from tests.conftest import MakeStorage, requests_sent
from tests.support.redis_server import RedisServer

numbers = itertools.count()


def entry(reference: str) -> Entry:
    return Entry(EntryKind.FILE, reference, 5)


def new_namespace() -> Namespace:
    number = b"%d of %d" % (next(numbers), os.getpid())
    return Namespace(number, b"read %b" % number, b"write %b" % number)


def listing(**entries: str) -> Listing:
    made = Listing()
    for name, reference in entries.items():
        made.add(name, entry(reference))
    return made


@pytest.fixture
def two(redis_server: RedisServer) -> tuple[EntryCache, EntryCache]:
    """The caches of two hosts."""
    return EntryCache(redis=redis_server.url), EntryCache(redis=redis_server.url)


Two = tuple[EntryCache, EntryCache]


def fill(cache: EntryCache, namespace: Namespace, **entries: str) -> None:
    cache.fill(cache.ticket(), namespace, listing(**entries))


# One truth


def test_what_one_host_has_read_the_other_knows(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    assert there.entry(namespace, "a") is None
    fill(here, namespace, a="one", b="two")
    assert there.entry(namespace, "a") == entry("one")
    assert there.entry(namespace, "c") is MISSING
    assert dict(there.entries(namespace) or []) == {
        "a": entry("one"),
        "b": entry("two"),
    }


def test_a_large_listing_goes_over_in_pages(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    names = {f"name {i}": f"reference {i}" for i in range(3000)}
    fill(here, namespace, **names)
    assert there.entry(namespace, "name 2999") == entry("reference 2999")
    assert len(list(there.entries(namespace) or [])) == 3000
    change = here.change(namespace, "name 7")
    change.done(MISSING)
    assert there.entry(namespace, "name 7") is MISSING
    assert there.entry(namespace, "name 8") == entry("reference 8")


def test_a_change_is_seen_before_and_after_it(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    fill(here, namespace, a="one")
    assert there.entry(namespace, "a") == entry("one")
    change = here.change(namespace, "a")
    assert there.entry(namespace, "a") is None
    change.done(entry("two"), "its write cap")
    assert there.entry(namespace, "a") == entry("two")
    assert there.write_reference(namespace, "a") == "its write cap"


def test_texts_are_forgotten_with_their_scope(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    here.keep_text(here.ticket(), namespace, "params", "https://signed", 600)
    assert there.text(namespace, "params", 600) == "https://signed"
    assert there.text(namespace, "others", 600) is None
    there.forget(namespace)
    assert here.text(namespace, "params", 600) is None


def test_what_is_sealed_is_not_to_be_read_in_the_redis(
    two: Two, redis_server: RedisServer
) -> None:
    namespace = new_namespace()
    fill(two[0], namespace, visible="https://signed.example/secret")
    with contextlib.closing(redis_server.client()) as client:
        for key in client.scan_iter():
            if client.type(key) == b"string":
                held = bytes(client.get(key) or b"")  # type: ignore[arg-type]
                assert b"visible" not in key + held
                assert b"secret" not in key + held


def test_what_somebody_put_there_is_a_miss(two: Two, redis_server: RedisServer) -> None:
    here, there = two
    first, second = new_namespace(), new_namespace()
    fill(here, first, a="one")
    fill(here, second, a="two")
    with contextlib.closing(redis_server.client()) as client:
        moved = client.get(redisstate.PAGE + second.root)
        for value in (moved, b"", b"\x80\x04N.", b"x" * 100):
            client.set(redisstate.PAGE + first.root, value)  # type: ignore[arg-type]
            assert there.entry(first, "a") is None


@pytest.fixture
def world(redis_server: RedisServer) -> World:
    caches = [
        EntryCache(redis=redis_server.url, lifetime=3600.0) for _ in range(PROCESSES)
    ]
    return World(caches, numbers=numbers)


@pytest.fixture
def fine_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause before each request to the Redis, where actors play fine steps.

    But for that of a ticket, before which readers pause in any case.
    """
    for name in ("read", "fill", "patch", "invalidate"):
        usual = getattr(redisstate.RedisState, name)

        def paused(*arguments: Any, usual: Callable[..., Any] = usual) -> Any:
            pause()
            return usual(*arguments)

        monkeypatch.setattr(redisstate.RedisState, name, paused)


@pytest.mark.parametrize("play", READER_AND_WRITER.values(), ids=READER_AND_WRITER)
def test_a_listing_and_a_write_in_every_order(world: World, play: Play) -> None:
    assert explore(world, play) > 5


@not_measured
@pytest.mark.parametrize("play", FINE.values(), ids=FINE)
@pytest.mark.usefixtures("fine_steps")
def test_every_request_to_the_redis_in_every_order(world: World, play: Play) -> None:
    assert explore(world, play) > 10


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.usefixtures("fine_steps")
def test_more_actors_than_can_be_played_in_every_order(
    world: World, data: st.DataObject
) -> None:
    play_at_random(world, data)


# Each of these takes a line of the scripts away, and must be noticed.
MUTANTS = {
    "a fill is not compared": (
        "_FILL",
        "or tonumber(v[1] or 0) > tonumber(ARGV[5])",
        "",
    ),
    "a patch changes no generation": ("_PATCH", ", 'g'..ARGV[3], ARGV[7]", ""),
    "a patch counts no change": (
        "_PATCH",
        "'s'..ARGV[3], seq, 'g'..ARGV[3]",
        "'g'..ARGV[3]",
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_line_less_is_noticed(
    mutant: tuple[str, str, str],
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script, old, new = mutant
    source = getattr(redisstate, script)
    assert old in source
    monkeypatch.setattr(redisstate, script, source.replace(old, new))
    caches = [EntryCache(redis=redis_server.url) for _ in range(PROCESSES)]
    world = World(caches, numbers=numbers)

    def play_all() -> None:
        for play in READER_AND_WRITER.values():
            explore(world, play)

    with pytest.raises(WrongResult):
        play_all()


# A Redis that fails


def test_without_the_redis_nothing_is_known_and_nothing_fails(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cache, namespace = EntryCache(redis=own_redis.url), new_namespace()
    fill(cache, namespace, a="one")
    assert cache.entry(namespace, "a") == entry("one")
    own_redis.stop()
    with caplog.at_level(logging.WARNING, "tahoestorage.cache"):
        for _ in range(5):
            assert cache.entry(namespace, "a") is None
            assert cache.entries(namespace) is None
            cache.change(namespace, "a").done(entry("two"))
            cache.forget(namespace)
    (warning,) = caplog.records
    assert "Redis" in warning.getMessage()
    # What this process has read itself, another may have changed since.
    fill(cache, namespace, a="three")
    assert cache.entry(namespace, "a") is None
    assert cache.entry(namespace, "b") is None
    # That is better than nothing while the store is away, too.
    assert cache.entry(namespace, "a", expired=True) == entry("three")
    assert cache.entry(namespace, "b", expired=True) is None


def test_where_no_thread_can_be_started_nothing_fails_and_it_is_tried_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = redisaccess.RedisAccess("redis://127.0.0.1:1", 60.0)
    started: list[str] = []

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    access.error(errors.RedisUnusable("it hangs up"))
    monkeypatch.setattr(
        threading.Thread, "start", lambda self: started.append(self.name)
    )
    access.error(errors.RedisUnusable("it hangs up"))

    assert access.is_away
    assert started == ["tahoestorage-redis"]


def test_a_redis_that_hangs_is_waited_for_once(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, namespace = EntryCache(redis=own_redis.url), new_namespace()
    fill(cache, namespace, a="one")
    with contextlib.closing(own_redis.client()) as client:
        client.client_pause(60_000)
    here, asked = threading.get_ident(), 0
    usual = redisstate.RedisState._call

    def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += threading.get_ident() == here
        return usual(*arguments)

    monkeypatch.setattr(redisstate.RedisState, "_call", counted)
    # No time passes in which it would be tried again.
    now = time.monotonic()
    still = SimpleNamespace(monotonic=lambda: now, sleep=time.sleep)
    monkeypatch.setattr(redisaccess, "time", still)
    for _ in range(100):
        assert cache.entry(namespace, "a") is None
    assert asked == 1


def test_what_was_written_while_it_was_away_is_told_afterwards(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = EntryCache(redis=own_redis.url), EntryCache(redis=own_redis.url)
    namespace = new_namespace()
    fill(here, namespace, a="one")
    assert there.entry(namespace, "a") == entry("one")

    def away(*arguments: Any) -> Any:
        raise errors.RedisUnusable("no way there")

    with monkeypatch.context() as patch:
        patch.setattr(redisstate.RedisState, "_call", away)
        here.change(namespace, "a").done(MISSING)
    # Nobody has to ask here for that.
    wait_until(lambda: there.entry(namespace, "a") is None)
    assert here.entry(namespace, "a") is None


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("loses", ["everything", "its counters", "the last changes"])
def test_what_a_redis_has_lost_is_not_made_up(
    own_redis: RedisServer, loses: str
) -> None:
    here, there = EntryCache(redis=own_redis.url), EntryCache(redis=own_redis.url)
    namespace = new_namespace()
    fill(here, namespace, a="one")
    assert there.entry(namespace, "a") == entry("one")
    with contextlib.closing(own_redis.client()) as client:
        if loses == "the last changes":
            client.save()
        here.change(namespace, "a").done(MISSING)
        if loses == "everything":
            client.flushall()
        elif loses == "its counters":
            client.delete(redisstate.STATE)
    if loses == "the last changes":
        own_redis.stop()
        own_redis.start()
    assert there.entry(namespace, "a") in (None, MISSING)
    fill(here, namespace, b="two")
    assert there.entry(namespace, "a") is MISSING
    assert there.entry(namespace, "b") == entry("two")


# Coverage has a lock of its own, which a child would wait for where the thread held it.
@pytest.mark.no_cover
def test_a_child_has_connections_of_its_own(two: Two) -> None:
    here, _ = two
    namespace = new_namespace()
    fill(here, namespace, a="one")
    assert here.entry(namespace, "a") == entry("one")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            assert here.entry(namespace, "b") is MISSING

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                known = [here.entry(namespace, name) for name in "aabb"]
                good = known == [entry("one")] * 2 + [MISSING] * 2
                os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


# Storages on two hosts

OTHER_HOST = """
import json, sys
from django.conf import settings
settings.configure(USE_TZ=True)
import django
django.setup()
from django.core.files.base import ContentFile
from django.core.management import call_command
from tahoestorage.storage import TahoeStorage
storage = TahoeStorage(**json.loads(sys.stdin.readline()))
for line in sys.stdin:
    action, name = line.split()
    if action == "save":
        assert storage.save(name, ContentFile(name.encode())) == name
    else:
        storage.delete(name)
    print(name, flush=True)
"""


def test_two_hosts_see_each_other_s_writes_at_once(
    make_storage: MakeStorage, redis_server: RedisServer, tmp_path: Path
) -> None:
    def options(host: str) -> dict[str, Any]:
        directory = str(tmp_path / host)
        return {"cache": {"directory": directory, "redis": redis_server.url}}

    here = make_storage(**options("here"))
    there = {
        "base_url": here.options.base_url,
        "base_cap": here.options.root.uri,
        "public_base_url": "http://files.example",
        **options("there"),
    }
    right = 0
    with subprocess.Popen(
        [sys.executable, "-P", "-c", OTHER_HOST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def do(action: str, name: str) -> None:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{action} {name}\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == name

        process.stdin.write(json.dumps(there) + "\n")
        for number in range(100):
            name = f"{number % 7}/{number % 50}"
            do("save", name)
            with here.open(name) as file:
                read = file.read() == name.encode()
            right += read and here.exists(name) and here.url(name).startswith("http")
            do("delete", name)
            right += not here.exists(name) and not opens(here, name)
        process.stdin.close()
    assert right == 200


def opens(storage: TahoeStorage, name: str) -> bool:
    try:
        storage.open(name)
        storage.url(name)
    except FileNotFoundError:
        return False
    return True


def test_nothing_is_asked_of_the_gateway_that_another_host_has_asked(
    make_storage: MakeStorage, redis_server: RedisServer
) -> None:
    cache = {"redis": redis_server.url}
    here, there = make_storage(cache=cache), make_storage(cache=cache)
    for number in range(20):
        here.save(f"dir/{number}", ContentFile(b"x" * 100))
    here.listdir("dir")
    there.directories.cache  # noqa: B018
    there.__dict__["directories"].cache = EntryCache(redis=redis_server.url)
    with requests_sent() as sent:
        assert all(there.size(f"dir/{number}") == 100 for number in range(20))
        assert there.listdir("dir") == here.listdir("dir")
        assert not there.exists("dir/none")
    assert sent == []


# Several gateways


def test_writers_through_several_gateways_take_turns(
    redis_server: RedisServer, two_gateways: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, linking, most = Gateway.set_children, Counter[str](), [0]

    def link(
        gateway: Gateway, directory: Cap, *arguments: Any, **keywords: Any
    ) -> None:
        linking[directory.uri] += 1
        most[0] = max(most[0], linking[directory.uri])
        try:
            usual(gateway, directory, *arguments, **keywords)
        finally:
            linking[directory.uri] -= 1

    monkeypatch.setattr(Gateway, "set_children", link)
    root = two_gateways.create_root()
    storages = [
        TahoeStorage(
            base_url=url,
            base_cap=root.uri,
            cache={"redis": redis_server.url, "memory_entries": 1000 + number},
        )
        for number, url in enumerate(two_gateways.base_urls)
    ]
    errors: list[Exception] = []

    def save(storage: TahoeStorage, who: int) -> None:
        try:
            for number in range(12):
                name = f"shared/{who}-{number}"
                assert storage.save(name, ContentFile(name.encode())) == name
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=save, args=(storages[who % 2], who)) for who in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    names = {f"{who}-{number}" for who in range(4) for number in range(12)}
    fresh = TahoeStorage(base_url=two_gateways.base_url, base_cap=root.uri, cache=False)
    assert set(fresh.listdir("shared")[1]) == names
    assert most == [1]


def test_a_lock_that_was_not_given_back_ends_by_itself(
    two: Two, redis_server: RedisServer
) -> None:
    here, there = two
    namespace = new_namespace()

    def locks() -> int:
        with contextlib.closing(redis_server.client()) as client:
            return int(client.hlen(redislocks.LOCKS))

    before = locks()

    def fail() -> None:
        with here.lock(namespace, "a/b", 1.0) as lock:
            lock.renew()
            raise GatewayTimeout("a/b: no answer")

    with pytest.raises(GatewayTimeout):
        fail()
    # It stays there until somebody comes who finds that it has ended.
    assert locks() == before + 1
    with there.lock(namespace, "a/c", 1.0):
        assert locks() == before + 1
    assert locks() == before


def test_a_lock_is_given_back_when_the_write_is_clear(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    for error in (None, FileExistsError("taken")):
        # Who had to wait for it would do so for longer than a test may take.
        with contextlib.suppress(FileExistsError), here.lock(namespace, "a/b", 3600.0):
            if error is not None:
                raise error
        with there.lock(namespace, "a/c", 3600.0):
            pass


def test_a_lock_that_does_not_come_is_an_error(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    with here.lock(namespace, "a/b", 30.0):
        waiting = there.lock(namespace, "a/c", 0.05)
        with pytest.raises(WriteCollision, match="a/c: other writers have held"):
            waiting.__enter__()


def test_a_lock_that_has_ended_is_waited_for_again(two: Two) -> None:
    here, there = two
    namespace = new_namespace()
    late = here.lock(namespace, "a/b", 0.2)
    late.__enter__()
    time.sleep(0.3)
    with there.lock(namespace, "a/c", 30.0):
        with pytest.raises(WriteCollision, match="a/b"):
            late.renew()
        late.__exit__(None, None, None)


def test_a_lock_tells_whether_it_was_taken_away(
    two: Two, redis_server: RedisServer
) -> None:
    here, there = two
    namespace = new_namespace()
    with here.lock(namespace, "a/b", 30.0) as lock:
        lock.renew()
    assert not lock.lost
    with here.lock(namespace, "a/b", 30.0) as lock:
        lock.renew()
        evict_locks(redis_server)
    assert lock.lost
    # Somebody else's lock is left alone.
    with here.lock(namespace, "a/b", 30.0) as lock:
        lock.renew()
        evict_locks(redis_server)
        other = there.lock(namespace, "a/c", 30.0)
        other.__enter__()
    assert lock.lost
    other.__exit__(None, None, None)
    assert not other.lost
    # What was taken away between two requests, and taken again.
    with here.lock(namespace, "a/b", 30.0) as lock:
        evict_locks(redis_server)
        lock.renew()  # Nothing was sent before it.
    assert not lock.lost
    with here.lock(namespace, "a/b", 30.0) as lock:
        lock.renew()
        evict_locks(redis_server)
        lock.renew()
    assert lock.lost


def evict_locks(server: RedisServer) -> None:
    """Do what a Redis does that is short of memory, and may drop anything."""
    with contextlib.closing(server.client()) as client:
        found = list(client.scan_iter(match="tahoestorage:lock*"))
        assert client.delete(*found) == len(found) >= 2


def test_a_lock_whose_answer_was_lost_is_ours(redis_server: RedisServer) -> None:
    with contextlib.closing(redis_server.client()) as client:
        locks = redislocks.RedisLocks(client)
        name = new_namespace().root.hex()
        assert locks.take(name, "ours", 30.0)
        assert locks.take(name, "ours", 30.0)
        assert not locks.take(name, "another's", 30.0)
        assert locks.release(name, "ours")
        assert not locks.release(name, "ours")


def test_who_waits_comes_before_who_comes_back(redis_server: RedisServer) -> None:
    with contextlib.closing(redis_server.client()) as client:
        locks = redislocks.RedisLocks(client)
        name = new_namespace().root.hex()
        assert locks.take(name, "first", 30.0)
        assert not locks.take(name, "second", 30.0)
        assert not locks.take(name, "third", 30.0)
        assert locks.release(name, "first")
        assert not locks.take(name, "first", 30.0)
        assert not locks.take(name, "third", 30.0)
        assert locks.take(name, "second", 30.0)


def test_the_lock_of_an_older_version_is_waited_for(redis_server: RedisServer) -> None:
    with contextlib.closing(redis_server.client()) as client:
        locks = redislocks.RedisLocks(client)
        name = new_namespace().root.hex()
        older = client.lock("tahoestorage:lock:" + name, timeout=30, sleep=0.02)
        assert older.acquire()
        assert not locks.take(name, "ours", 30.0)
        older.release()
        assert locks.take(name, "ours", 30.0)
        assert not older.acquire(blocking=False)
        # Where its kind of lock was dropped, it does not know of ours.
        assert client.delete(older.name)
        assert locks.keep(name, "ours", 30.0)
        assert client.delete(older.name)
        assert older.acquire(blocking=False)
        assert not locks.keep(name, "ours", 30.0)
        assert not locks.release(name, "ours")
        older.release()


def fill_with_pages(client: redis.Redis, count: int) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(count):
            pipeline.set(secrets.token_hex(8), secrets.token_bytes(2000), ex=3600)
        pipeline.execute()


POLICIES = ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_lock_stays_where_only_what_ends_is_dropped(
    own_redis: RedisServer, policy: str
) -> None:
    cache, namespace = EntryCache(redis=own_redis.url), new_namespace()
    with contextlib.closing(own_redis.client()) as client:
        client.config_set("maxmemory-policy", policy)
        with cache.lock(namespace, "a/b", 30.0) as lock:
            lock.renew()
        snapshot = cache.ticket().generations
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used + 1_000_000)
        for _ in range(20):
            with cache.lock(namespace, "a/b", 30.0) as lock:
                lock.renew()
                fill_with_pages(client, 60)
            assert not lock.lost
        assert client.info("stats")["evicted_keys"] > 100
        assert cache.ticket().generations == snapshot


def test_without_the_redis_writers_go_on(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EntryCache(redis=own_redis.url)
    own_redis.stop()
    with cache.lock(new_namespace(), "a/b", 30.0) as lock:
        lock.renew()
    assert "a/b is written without a lock" in caplog.text


# Looking after it


def look_after(action: str) -> dict[str, Any]:
    said = io.StringIO()
    call_command("storage_cache", action, "--json", stdout=said)
    (tier,) = json.loads(said.getvalue())["tiers"]
    return dict(tier)


def test_it_can_be_looked_at_and_emptied(
    make_storage: MakeStorage, own_redis: RedisServer, settings: Settings
) -> None:
    url = own_redis.url.replace("//", "//default:hunter2@")
    with contextlib.closing(own_redis.client()) as client:
        client.config_set("requirepass", "hunter2")
    storage = make_storage(cache={"redis": url})
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": storage._given,
        },
    }
    storage.save("dir/a", ContentFile(b"x" * 100))
    storage.listdir("dir")
    stats = look_after("stats")
    assert stats["tier"] == "redis"
    assert stats["place"] == f"127.0.0.1:{own_redis.port}/0"
    assert stats["pages"] >= 2
    assert stats["bytes"] > 100
    assert look_after("clear")["pages"] == 0
    with requests_sent() as sent:
        assert storage.exists("dir/a")
        assert storage.exists("dir/a")
    assert sent.verbs == ["GET"]
    own_redis.stop()
    stats = look_after("stats")
    assert stats["pages"] is None
    assert "refused" in stats["error"]
    assert "hunter2" not in str(stats)


# Options


def test_a_password_is_not_shown_and_does_not_travel(make_storage: MakeStorage) -> None:
    url = "redis://user:hunter2@redis.example:6379/0"
    storage = make_storage(cache={"redis": url})
    assert "hunter2" not in repr(storage.options)
    assert "hunter2" not in repr(storage.deconstruct())
    assert b"hunter2" not in pickle.dumps(storage)
    plain = make_storage(cache={"redis": "redis://redis.example:6379/0"})
    assert plain.deconstruct()[2]["cache"] == {"redis": "redis://redis.example:6379/0"}


@pytest.mark.parametrize("wrong", ["http://x", "127.0.0.1:6379", 5, "amqp://u:pw@x"])
def test_a_wrong_address_is_refused(make_storage: MakeStorage, wrong: object) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"redis.*expected a URL") as caught:
        make_storage(cache={"redis": wrong}).options  # noqa: B018
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        "redis://:Zm9v/YmFy@cache:6379/0",
        "redis://:Zm9v#YmFy@cache:6379/0",
        "redis://:Zm9v?YmFy@cache:6379/0",
        "redis://:Zm9v[YmFy@cache:6379/0",
        # Port 12 of this host.
        "redis://:12/Zm9v@cache",
        "redis://:12?Zm9v@cache",
        "redis://:12#Zm9v@cache",
        "redis://user:12/Zm9v@cache",
        "unix://:Zm9v/YmFy@/run/redis.sock",
        "redis://:Zm9v@cache:port/0",
        "redis://:Zm9v@cache:65536/0",
        "redis://:Zm9v@cache?db=x",
        "redis://:Zm9v@cache?nonsense=1",
        "redis://:Zm9v@cache?ssl_cert_reqs=none",
        "redis://:Zm9v@cache?decode_responses=true",
        "redis://:Zm9v@cache?retry_on_error=x",
        "redis://:Zm9v@cache?redis_connect_func=x",
        "unix:///run/redis.sock?password=Zm9v&socket_keepalive=yes",
    ],
)
def test_an_address_that_redis_py_can_t_use_is_refused_and_not_repeated(
    make_storage: MakeStorage, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ImproperlyConfigured, match="is no URL of a Redis") as caught:
        make_storage(cache={"redis": wrong}).options  # noqa: B018
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "Zm9v" not in told
    assert "YmFy" not in told


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://[::1]:6379",
        "redis://:Zm9v%2FYm%40y@cache:6379/0",
        "redis://cache?db=1&password=x%40y&socket_timeout=0.2&client_name=site",
        "redis://cache/1?max_connections=9&health_check_interval=3&protocol=3",
        "rediss://user:x@cache/1?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=yes",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_an_address_that_redis_py_can_use_is_taken_as_it_is(
    make_storage: MakeStorage, url: str
) -> None:
    options = make_storage(cache={"redis": url}).cache_options
    assert options is not None
    assert options.redis == url


@pytest.fixture(autouse=True)
def no_password_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert "hunter2" not in caplog.text
