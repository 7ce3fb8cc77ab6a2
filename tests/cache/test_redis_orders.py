"""Readers and writers in every order, while the Redis forgets or refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

from tahoestorage.cache import EntryCache, redisaccess, redisstate
from tests.cache.test_interleavings import (
    NONE,
    OLD,
    PROCESSES,
    Known,
    Play,
    Script,
    World,
    WrongResult,
    explore,
    pause,
)
from tests.support.redis_server import running

Happening = Callable[[redis.Redis], Script]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with (
        running(tmp_path_factory.mktemp("redis")) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture
def world(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> World:
    """Processes that look at once whether the Redis is back, each for itself."""
    monkeypatch.setattr(redisaccess, "AWAY_SECONDS", 0.0)
    monkeypatch.setattr(redisaccess, "SHORTEST", 3600.0)
    monkeypatch.setattr(redisstate, "TRUST_SECONDS", 0.0)
    given = client.connection_pool.connection_kwargs
    url = f"redis://{given['host']}:{given['port']}"
    caches = [EntryCache(redis=url, lifetime=3600.0) for _ in range(PROCESSES)]
    return World(caches, numbers=itertools.count())


def losing(client: redis.Redis) -> Script:
    def script() -> None:
        pause(fine=False)
        client.delete(redisstate.STATE)

    return script


def refusing(client: redis.Redis) -> Script:
    def script() -> None:
        pause(fine=False)
        client.config_set("min-replicas-to-write", 1)
        pause(fine=False)
        client.config_set("min-replicas-to-write", 0)

    return script


HAPPENINGS: dict[str, Happening] = {"loses": losing, "refuses": refusing}
ACTIONS: dict[str, tuple[str, dict[str, Known]]] = {
    "create": ("create", NONE),
    "delete": ("delete", OLD),
}


def play(client: redis.Redis, happening: str, action: str) -> Play:
    label, before = ACTIONS[action]

    def scene(world: World) -> Sequence[Script]:
        return [
            world.reader(0),
            world.writer(1, "a", label),
            HAPPENINGS[happening](client),
        ]

    return Play(scene, before)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_a_listing_a_write_and_a_bad_moment_in_every_order(
    world: World, client: redis.Redis, happening: str, action: str
) -> None:
    assert explore(world, play(client, happening, action)) > 10


@pytest.fixture
def fine_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause before each request to the Redis."""
    for name in ("_call", "distrust"):
        usual = getattr(redisstate.RedisState, name)

        def paused(*arguments: Any, usual: Callable[..., Any] = usual) -> Any:
            pause()
            return usual(*arguments)

        monkeypatch.setattr(redisstate.RedisState, name, paused)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("happening", HAPPENINGS)
@pytest.mark.usefixtures("fine_steps")
def test_every_request_of_a_write_and_a_bad_moment_in_every_order(
    world: World, client: redis.Redis, happening: str, action: str
) -> None:
    label, before = ACTIONS[action]

    def scene(world: World) -> Sequence[Script]:
        return [
            world.writer(1, "a", label),
            HAPPENINGS[happening](client),
        ]

    assert explore(world, Play(scene, before, fine=True)) > 5


def same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for script in ("_READ", "_SNAPSHOT", "_FILL", "_HOLD", "_PATCH", "_INVALIDATE"):
        source = getattr(redisstate, script)
        assert "'name', ARGV[2]" in source
        one = source.replace("'name', ARGV[2]", "'name', 7").replace(
            "return ARGV[2]", "return '7'"
        )
        monkeypatch.setattr(redisstate, script, one)


def no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redisstate.RedisState, "distrust", lambda self: 0.0)


def mark_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redisstate.RedisState, "_is_trusted", lambda self, name: True)


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    same_name: "loses",
    no_mark: "refuses",
    mark_not_looked_at: "refuses",
}


@pytest.mark.parametrize(
    ("mutate", "happening"), MUTANTS.items(), ids=[each.__name__ for each in MUTANTS]
)
def test_a_line_less_is_noticed(
    mutate: Callable[[pytest.MonkeyPatch], None],
    happening: str,
    client: redis.Redis,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutate(monkeypatch)
    given = client.connection_pool.connection_kwargs
    url = f"redis://{given['host']}:{given['port']}"
    world.caches = [EntryCache(redis=url, lifetime=3600.0) for _ in range(PROCESSES)]

    def play_all() -> None:
        for action in ACTIONS:
            explore(world, play(client, happening, action))

    try:
        with pytest.raises(WrongResult):
            play_all()
    finally:
        client.config_set("min-replicas-to-write", 0)
