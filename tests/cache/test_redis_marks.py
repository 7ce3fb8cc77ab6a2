"""What is believed of a Redis that could not be told of a change, or gives no lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tahoestorage.cache import EntryCache, redisaccess, redisstate
from tests.cache.test_redis import entry, fill, new_namespace
from tests.support.ports import free_port
from tests.support.redis_server import running


def test_who_looked_just_before_believes_no_longer_than_the_change_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader does not look for marks again meanwhile: the writer waits for it."""
    monkeypatch.setattr(redisstate, "TRUST_SECONDS", 2.0)
    # Nobody tells of the change afterwards.
    monkeypatch.setattr(redisaccess.RedisAccess, "try_again", lambda access: True)
    with running(tmp_path) as server, server.client() as client:
        reader, writer = EntryCache(redis=server.url), EntryCache(redis=server.url)
        namespace = new_namespace()
        fill(reader, namespace, a="one")
        assert writer.entry(namespace, "a") == entry("one")
        assert reader.entry(namespace, "a") == entry("one")
        client.config_set("min-replicas-to-write", 1)
        change = writer.change(namespace, "a")
        client.config_set("min-replicas-to-write", 0)
        assert reader.entry(namespace, "a") is None
        change.done(None)
        writer._tiers._redis._unsent.clear()  # type: ignore[attr-defined]


def test_who_gets_no_lock_looks_whether_what_he_wrote_is_there() -> None:
    cache = EntryCache(redis=f"redis://127.0.0.1:{free_port()}")
    with cache.lock(new_namespace(), "a", 5.0) as lock:
        lock.renew()
    assert lock.lost
