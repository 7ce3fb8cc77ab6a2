"""Reports what the cache in a Redis holds, and empties it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import redis

from tahoestorage.cache.inspection import TierStats
from tahoestorage.cache.redisstate import PAGE, STATE

BATCH = 500
WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class InspectedRedis:
    """The tier in the Redis at ``url``, of all sites that share it."""

    url: str = field(repr=False)

    def stats(self) -> TierStats:
        """Return what it holds now."""
        pages, size = 0, 0
        try:
            with self._connected() as client:
                for keys in self._pages(client):
                    pages += len(keys)
                    with client.pipeline(transaction=False) as pipeline:
                        for key in keys:
                            pipeline.strlen(key)
                        size += sum(pipeline.execute())
        except (redis.RedisError, OSError) as error:
            return TierStats("redis", self._place, None, None, None, str(error))
        return TierStats("redis", self._place, pages, size, None)

    def forget(self) -> TierStats:
        """Have every process of every host forget all that it knows.

        At once: without its counters no page is believed. Then the pages go.
        """
        try:
            with self._connected() as client:
                client.delete(STATE)
                for keys in self._pages(client):
                    client.unlink(*keys)
        except (redis.RedisError, OSError) as error:
            return replace(self.stats(), error=str(error))
        return self.stats()

    @property
    def _place(self) -> str:
        """The address, without the password."""
        given = redis.Redis.from_url(self.url).connection_pool.connection_kwargs
        where = given.get("path") or f"{given.get('host')}:{given.get('port', 6379)}"
        return f"{where}/{given.get('db') or 0}"

    @contextlib.contextmanager
    def _connected(self) -> Iterator[redis.Redis]:
        client = redis.Redis.from_url(
            self.url, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS
        )
        with contextlib.closing(client):
            yield client

    @staticmethod
    def _pages(client: redis.Redis) -> Iterator[list[bytes]]:
        found = client.scan_iter(match=PAGE + b"*", count=BATCH)
        while keys := list(itertools.islice(found, BATCH)):
            yield keys
