"""What several hosts share in a Redis: sealed pages, and counters of change."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tahoestorage.cache.redislocks import RedisLocks

STATE = b"tahoestorage:state"
PAGE = b"tahoestorage:page:"
CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 0.5

# All counters are in one hash, so that a Redis short of memory drops all or none: what
# has lost its counters must not be believed again. Its field `name` is random, and
# `run` is the Redis's own, another one after each start: what it loads then may be
# older than what hosts were told. `seq` counts all changes; `s`, `g`, `e` and `f` with
# the number of a slot are the seq of its last change, its generation, its epoch and how
# often it was filled.
_BEGIN = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'name', ARGV[2], 'seq', 0)
end
"""
_READ = """
local s = ARGV[1]
local v = redis.call('HMGET', KEYS[1], 'name', 'g'..s, 'e'..s, 'f'..s)
if v[1] and (v[2] or '0') ~= ARGV[2] then v[5] = redis.call('GET', KEYS[2]) end
return v
"""
_FILL = """
local v = redis.call('HMGET', KEYS[1], 'name', 's'..ARGV[1], 'g'..ARGV[1])
if v[1] ~= ARGV[2] or tonumber(v[2] or 0) > tonumber(ARGV[3]) then return false end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i], 'PX', ARGV[2 * i + 1])
end
redis.call('HINCRBY', KEYS[1], 'f'..ARGV[1], 1)
return v[3] or '0'
"""
_PATCH = """
local v = redis.call('HMGET', KEYS[1], 'name', 'g'..ARGV[1], 'f'..ARGV[1])
if v[1] ~= ARGV[2] or (v[2] or '0') ~= ARGV[3] or (v[3] or '0') ~= ARGV[4] then
  return 0
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], 's'..ARGV[1], seq, 'g'..ARGV[1], ARGV[5])
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i + 2], 'PX', ARGV[2 * i + 3])
end
return 1
"""
_DISBELIEVE = """
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
for i = 2, #ARGV do
  local slot = ARGV[i]
  redis.call('HSET', KEYS[1], 's'..slot, seq, 'g'..slot, ARGV[1], 'e'..slot, ARGV[1])
end
"""

Sealed = Iterable[tuple[bytes, bytes, float]]
"""Keys, values, and for how many seconds they are kept."""


class RedisFault(Exception):
    """Redis could not do what was asked. Never leaves the cache."""


@dataclass(frozen=True, slots=True)
class RedisSnapshot:
    """How many changes there had been, in all, at one moment."""

    name: int
    seq: int

    def generation(self, slot: int) -> RedisSnapshot:
        """Return itself: it says of each slot whether it was changed since."""
        return self


class Version(NamedTuple):
    """The counters of a slot, as they were together."""

    name: int
    number: int
    epoch_number: int
    fillings: int

    @property
    def generation(self) -> int:
        """Another one whenever something in the slot may have changed."""
        return self.name ^ self.number

    @property
    def epoch(self) -> int:
        """Another one when no page that was stored before is to be believed."""
        return self.name ^ self.epoch_number


class RedisState:
    """The state in the Redis at ``url``. Every method raises RedisFault."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            # Once at once, for a connection that was idle may be dead.
            retry=Retry(NoBackoff(), 1),
            redis_connect_func=self._connected,
        )
        register = self._redis.register_script
        self._read, self._fill = register(_READ), register(_FILL)
        self._patch, self._disbelieve = register(_PATCH), register(_DISBELIEVE)
        self._locks = RedisLocks(self._redis)
        self._name = 0

    def _connected(self, connection: Any) -> None:
        connection.on_connect()
        try:
            connection.send_command("INFO", "server")
            said = bytes(connection.read_response(disable_decoding=True))
            run = said.partition(b"run_id:")[2].split()[0]
        except (redis.ResponseError, IndexError):
            run = b"unknown"  # Some services forbid to ask.
        connection.send_command("EVAL", _BEGIN, 1, STATE, run, secrets.randbits(63))
        connection.read_response()

    def _call(self, script: Any, keys: list[bytes], *arguments: Any) -> Any:
        try:
            return script(keys=[STATE, *keys], args=arguments)
        except (redis.RedisError, OSError) as error:
            raise RedisFault(_said(error)) from None

    def _renew(self) -> None:
        """Begin with other counters, where these were dropped."""
        self._redis.connection_pool.disconnect(inuse_connections=False)

    def snapshot(self) -> RedisSnapshot:
        """Return how things are now."""
        try:
            name, seq = self._redis.hmget(STATE, ["name", "seq"])
        except (redis.RedisError, OSError) as error:
            raise RedisFault(_said(error)) from None
        if name is None or seq is None:
            self._renew()
            raise RedisFault("its counters are gone")
        return RedisSnapshot(int(name), int(seq))

    def read(
        self, slot: int, key: bytes, held: int | None
    ) -> tuple[Version, bytes | None]:
        """Return a slot's version, and what is kept at ``key``.

        Not that again where the generation is still the one ``held``.
        """
        known = "" if held is None else str(held ^ self._name)
        answer = self._call(self._read, [PAGE + key], slot, known)
        if answer[0] is None:
            self._renew()
            raise RedisFault("its counters are gone")
        version = Version(*(int(value or 0) for value in answer[:4]))
        self._name = version.name
        return version, answer[4] if len(answer) > 4 else None

    def fill(self, since: RedisSnapshot, slot: int, sealed: Sealed) -> int | None:
        """Keep values, and return the generation; None if it is another ``since``."""
        keys, arguments = _arguments(sealed)
        number = self._call(self._fill, keys, slot, since.name, since.seq, *arguments)
        return None if number is None else since.name ^ int(number)

    def patch(self, version: Version, slot: int, sealed: Sealed) -> bool:
        """Change a slot's generation, and values; False if there is another version."""
        keys, arguments = _arguments(sealed)
        known = version.name, version.number, version.fillings
        fresh = secrets.randbits(63)
        return bool(self._call(self._patch, keys, slot, *known, fresh, *arguments))

    def disbelieve(self, slots: Iterable[int]) -> None:
        """Let nothing be believed that was kept in these slots."""
        self._call(self._disbelieve, [], secrets.randbits(63), *slots)

    def lock(self, do: Callable[[RedisLocks], bool]) -> bool:
        """Return what ``do`` says when it is given the locks."""
        try:
            return do(self._locks)
        except (redis.RedisError, OSError) as error:
            raise RedisFault(_said(error)) from None


def _arguments(sealed: Sealed) -> tuple[list[bytes], list[Any]]:
    keys: list[bytes] = []
    arguments: list[Any] = []
    for key, value, seconds in sealed:
        keys.append(PAGE + key)
        arguments += [value, max(1, int(seconds * 1000))]
    return keys, arguments


def _said(error: Exception) -> str:
    # What redis-py says has the host in it, never the password.
    return str(error) or type(error).__name__
