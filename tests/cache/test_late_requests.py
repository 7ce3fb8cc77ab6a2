"""What a lock tells of requests that may be carried out late, or were never sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import redis

from tahoestorage.cache import redislocks
from tahoestorage.cache.errors import RedisUnusable
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.redislocks import (
    LOCKS,
    OLD_VERSION_LOCK,
    UNCLEAR,
    LockQueues,
    RedisLocks,
    RedisWriteLock,
)
from tahoestorage.exceptions import GatewayTimeout, GatewayUnreachable
from tests.support.redis_server import RedisServer

T = TypeVar("T")
HOUR = 3600.0  # Longer than a test may take.


class Locks:
    """The lock of one directory, which either of two hosts may take."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self._name = client, secrets.token_hex(16)
        self._locks = RedisLocks(client)
        self._queues = [LockQueues(), LockQueues()]

    def of(self, host: int) -> WriteLock:
        """Return the lock, for a host."""
        return RedisWriteLock(
            self._ask, self._queues[host], self._name, "a", HOUR, without=self._without
        )

    def _ask(self, do: Callable[[RedisLocks], T]) -> T:
        return do(self._locks)

    def _without(self, label: str, error: RedisUnusable) -> None:
        raise AssertionError(error)

    def delete(self, host: int, through: str, *, answered: bool) -> None:
        """Delete something through a gateway, which answers or does not.

        If it does not, the lock stays until its time is over; which it is.
        """
        try:
            with self.of(host) as lock:
                lock.renew()
                lock.note(through)
                if not answered:
                    raise GatewayTimeout("a: no answer")
                lock.answered(through)
        except GatewayTimeout:
            assert self._client.hdel(LOCKS, self._name)
            assert self._client.delete(OLD_VERSION_LOCK + self._name)

    def unclear(self, host: int) -> set[str]:
        """Return which gateways may still delete something."""
        return set(self.ages(host))

    def ages(self, host: int) -> dict[str, float]:
        """Return them with the seconds since they were noted."""
        with self.of(host) as lock:
            assert lock.is_shared
            return dict(lock.unclear())

    def let_hours_pass(self, hours: int, through: str) -> None:
        """As if a gateway had been noted so many hours ago."""
        self._client.zincrby(UNCLEAR + self._name, -hours * HOUR * 1000, through)


@pytest.fixture
def locks(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Locks]:
    """The lock of a new directory, for which nobody waits: it is free, or all fails."""
    monkeypatch.setattr(redislocks, "PATIENCE", 0)
    with redis_server.client() as client:
        yield Locks(client)


def test_who_may_still_delete_is_known_until_he_answers(locks: Locks) -> None:
    locks.delete(0, "one", answered=True)
    assert locks.unclear(1) == set()
    locks.delete(0, "one", answered=False)
    locks.delete(0, "two", answered=False)
    # Longer than the lock.
    assert locks.unclear(1) == {"one", "two"}
    locks.delete(1, "one", answered=True)
    assert locks.unclear(0) == {"two"}
    with locks.of(1) as lock:
        lock.forgive("two")
        assert not lock.unclear()


def test_it_is_known_since_when_a_gateway_may_be_at_its_last_deletion(
    locks: Locks,
) -> None:
    for through in ("one", "two"):
        locks.delete(0, through, answered=False)
        locks.let_hours_pass(2, through)
    locks.delete(1, "two", answered=False)
    ages = locks.ages(0)
    assert 2 * HOUR <= ages["one"] < 3 * HOUR
    assert 0 <= ages["two"] < HOUR


def test_whoever_only_held_the_lock_has_answered_nothing(locks: Locks) -> None:
    locks.delete(0, "one", answered=False)
    with locks.of(1) as lock:
        lock.renew()
    assert locks.unclear(0) == {"one"}


def test_a_lock_under_which_nothing_was_sent_is_given_back(locks: Locks) -> None:
    def fail() -> None:
        with locks.of(0):
            raise GatewayUnreachable("the gateway is away")

    with pytest.raises(GatewayUnreachable):
        fail()
    assert locks.unclear(1) == set()


def test_a_lock_that_nobody_shares_tells_nothing() -> None:
    with WriteLock() as lock:
        lock.note("one")
        lock.forgive("two")
        lock.answered("one")
        assert (lock.unclear(), lock.is_shared, lock.takes) == ({}, False, 0)
