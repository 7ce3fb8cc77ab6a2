"""Days on which the Redis that two hosts share is full, hangs, forgets or is gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage
from benchmarks.hosts import short_of_memory
from tests.support.redis_server import RedisServer, running
from tests.support.redis_states import STATES

TIMES, AWAY = 3, 5.0


def begin(stage: Stage, server: RedisServer) -> None:
    """Let each of two hosts write and read; they share nothing but the Redis."""
    for role in ("write", "write", "read", "read"):
        stage.start(role, stage.options(redis=server.url))
    stage.changes(20)


@contextlib.contextmanager
def redis_for(stage: Stage) -> Iterator[RedisServer]:
    """Run a Redis until the store was compared with what was told by it."""
    directory = stage.folder / "redis"
    (directory / "files").mkdir(parents=True)
    with running(directory, "--dir", str(directory / "files")) as server:
        yield server
        stage.finish()


def refusing(state: str) -> Callable[[Stage], None]:
    """Return a day on which it refuses what it is told, for a while."""

    def act(stage: Stage) -> None:
        with redis_for(stage) as server, server.client() as client:
            begin(stage, server)
            STATES[state].begin(client)
            stage.back(time.monotonic())
            stage.changes(20)
            STATES[state].end(client)
            stage.back(time.monotonic())
            stage.changes(20)

    return act


def evicting(stage: Stage) -> None:
    """Have too little memory, so that it drops keys all the time."""
    directory = stage.folder / "redis"
    directory.mkdir()
    with short_of_memory(directory, "allkeys-random") as server:
        at = time.monotonic()
        begin(stage, server)
        stage.back(at)
        stage.changes(40)
        stage.finish()


def flushed(stage: Stage) -> None:
    """Empty it some times."""
    with redis_for(stage) as server, server.client() as client:
        begin(stage, server)
        for _ in range(2 * TIMES):
            client.flushall()
            stage.back(time.monotonic())
            stage.changes(5)


def hung(stage: Stage) -> None:
    """Have it accept connections, and answer nothing for a while."""
    with redis_for(stage) as server:
        begin(stage, server)
        with server.hanging():
            stage.back(time.monotonic())
            stage.changes(10)
            time.sleep(AWAY)
        stage.back(time.monotonic())
        stage.changes(20)


def gone(stage: Stage) -> None:
    """Kill it, and start it again, empty."""
    with redis_for(stage) as server:
        begin(stage, server)
        for _ in range(TIMES):
            server.stop()
            stage.back(time.monotonic())
            stage.changes(10)
            server.start()
            stage.back(time.monotonic())
            stage.changes(10)


DAYS = (
    Day("redis-full", "Redis is full, and has room again", refusing("full")),
    Day("redis-read-only", "Redis becomes a replica, read-only", refusing("a replica")),
    Day("redis-evicting", "Redis drops keys all the time", evicting),
    Day("redis-flushed", "Redis is flushed", flushed),
    Day("redis-hung", "Redis hangs", hung),
    Day("redis-gone", "Redis is killed, and comes back empty", gone),
)
