"""Ways in which a Redis refuses what it is told, and how each of them ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.support.ports import free_port


@dataclass
class RedisFault:
    """A way in which a Redis fails its clients, and how it ends."""

    begin: Callable[[redis.Redis], object]
    end: Callable[[redis.Redis], object]
    options: tuple[str, ...] = ()


def fill_up(client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    with pytest.raises(redis.OutOfMemoryError):
        client.set("more", "1")


def lose_disk(client: redis.Redis) -> None:
    Path(str(client.config_get("dir")["dir"])).rmdir()
    client.config_set("save", "3600 1000000")
    client.bgsave()
    while client.info("persistence")["rdb_bgsave_in_progress"]:
        time.sleep(0.01)
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        client.set("more", "1")


def become_a_replica(client: redis.Redis) -> None:
    # Of one that can't be reached: it keeps what it has, and lets it be read.
    client.replicaof("127.0.0.1", free_port())
    with pytest.raises(redis.ReadOnlyError):
        client.set("more", "1")


def lose_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", "1")
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        client.set("more", "1")


STATES = {
    "full": RedisFault(fill_up, lambda client: client.config_set("maxmemory", "0")),
    "no snapshot": RedisFault(lose_disk, lambda client: client.config_set("save", "")),
    "a replica": RedisFault(
        become_a_replica, lambda client: client.replicaof("NO", "ONE")
    ),
    "replicas missing": RedisFault(
        lose_replicas, lambda client: client.config_set("min-replicas-to-write", "0")
    ),
}
