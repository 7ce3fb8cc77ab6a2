"""What several hosts share in a Redis: sealed pages, and counters of change."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tahoestorage.cache.errors import RedisRefused, RedisUnusable
from tahoestorage.cache.redislocks import NOTHING, RedisLocks

T = TypeVar("T")
STATE = b"tahoestorage:state"
PAGE = b"tahoestorage:page:"
CONNECT_SECONDS = 0.5
RESPONSE_SECONDS = 0.5
# For so long nobody looks again whether counters were distrusted (see ``distrust``).
TRUST_SECONDS = 0.5
ATTEMPTS = 5

# All counters are fields of one hash, so that a Redis short of memory drops all of them
# or none: a cache that has lost its counters must not be believed again.
#
#   name   random; another one whenever the counters begin anew
#   run    the Redis's own run_id: another one after each start, and in each replica.
#          Counters of another run may be older than what hosts were told.
#   seq    how many changes there were in all
#   sN     the seq of the last change in slot N
#   gN eN  the generation and the epoch of slot N
#   fN     how often slot N was filled
#
# Each script first begins the counters anew if there are none, or another run's.
_BEGIN = """
local function begin()
  local v = redis.call('HMGET', KEYS[1], 'name', 'run')
  if v[1] and v[2] == ARGV[1] then return v[1] end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'name', ARGV[2], 'seq', 0)
  return ARGV[2]
end
local name = begin()
"""
# Deletes a key that nobody has. That changes nothing, and is refused where changes are:
# on a replica, or where the last snapshot on the disk failed. A Redis that can't be
# told of changes must not be read either. One that is full lets a script go on that has
# begun with a DEL: changes are still told, and only nothing new is kept.
_PROVE = """
redis.call('DEL', KEYS[2])
"""
_SNAPSHOT = f"""{_BEGIN}{_PROVE}
return {{name, redis.call('HGET', KEYS[1], 'seq')}}
"""
_READ = f"""{_BEGIN}{_PROVE}
local s = ARGV[3]
local v = redis.call('HMGET', KEYS[1], 'name', 'g'..s, 'e'..s, 'f'..s)
if name ~= ARGV[4] or (v[2] or '0') ~= ARGV[5] then
  v[5] = redis.call('GET', KEYS[3])
end
return v
"""
_SINCE = f"""{_BEGIN}
local v = redis.call('HMGET', KEYS[1], 's'..ARGV[3], 'g'..ARGV[3])
if name ~= ARGV[4] or tonumber(v[1] or 0) > tonumber(ARGV[5]) then return false end
"""
_HOLD = f"""{_SINCE}
return v[2] or '0'
"""
_FILL = f"""{_SINCE}
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i + 2], 'PX', ARGV[2 * i + 3])
end
redis.call('HINCRBY', KEYS[1], 'f'..ARGV[3], 1)
return v[2] or '0'
"""
_PATCH = f"""{_BEGIN}{_PROVE}
local v = redis.call('HMGET', KEYS[1], 'g'..ARGV[3], 'f'..ARGV[3])
if name ~= ARGV[4] or (v[1] or '0') ~= ARGV[5] or (v[2] or '0') ~= ARGV[6] then
  return 0
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], 's'..ARGV[3], seq, 'g'..ARGV[3], ARGV[7])
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i + 2], 'PX', ARGV[2 * i + 3])
end
return 1
"""
_INVALIDATE = f"""{_BEGIN}{_PROVE}
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
for i = 4, #ARGV do
  local slot = ARGV[i]
  redis.call('HSET', KEYS[1], 's'..slot, seq, 'g'..slot, ARGV[3], 'e'..slot, ARGV[3])
end
"""
_LEAVE = f"""{_BEGIN}
if name == ARGV[3] then redis.call('DEL', KEYS[1]) end
"""

Sealed = Iterable[tuple[bytes, bytes, float]]
"""Keys, values, and for how many seconds they are kept."""


@dataclass(frozen=True, slots=True)
class RedisSnapshot:
    """How many changes there were, in all slots, at one moment."""

    of_redis: ClassVar[Literal[True]] = True
    name: int
    seq: int

    def generation(self, slot: int) -> RedisSnapshot:
        """Return itself: any slot may have changed between two that differ."""
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
    """Pages and counters in the Redis at ``url``. Every method raises RedisUnusable.

    A Redis that refuses writes is not read either. Counters that are gone, or another
    run's, are begun anew in the same call.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis = self._client()
        register = self._redis.register_script
        self._snapshot, self._read = register(_SNAPSHOT), register(_READ)
        self._hold, self._fill = register(_HOLD), register(_FILL)
        self._patch = register(_PATCH)
        self._invalidate, self._leave = register(_INVALIDATE), register(_LEAVE)
        self._locks = RedisLocks(self._redis)
        self._spare: redis.Redis | None = None
        self._run = b""
        self._name = 0
        self._trusted = (b"", 0), float("-inf")
        self._distrusted = (b"", 0), float("-inf")

    def _client(self, **options: Any) -> redis.Redis:
        return redis.Redis.from_url(
            self._url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=RESPONSE_SECONDS,
            # Once at once, for a connection that was idle may be dead; but nobody
            # waits twice.
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            redis_connect_func=self._connected,
            # As many as there are threads; redis-py has had limits of its own.
            max_connections=1 << 20,
            **options,
        )

    def _connected(self, connection: Any) -> None:
        connection.on_connect()
        try:
            connection.send_command("INFO", "server")
            said = bytes(connection.read_response(disable_decoding=True))
            self._run = said.partition(b"run_id:")[2].split()[0]
        except (redis.ResponseError, IndexError):
            self._run = b"unknown"  # Some services forbid to ask.

    def _asking(self, ask: Callable[[], Any]) -> Any:
        try:
            try:
                return ask()
            except redis.ResponseError as error:
                if "READONLY" not in str(error):
                    raise
                # After a failover the address leads to another one.
                self._redis.connection_pool.disconnect(inuse_connections=False)
                return ask()
        except redis.ResponseError as error:
            raise RedisRefused(_said(error)) from None
        except (redis.RedisError, OSError) as error:
            raise RedisUnusable(_said(error)) from None

    def _call(self, script: Any, keys: list[bytes], *arguments: Any) -> Any:
        def ask() -> Any:
            while True:
                run = self._run
                keywords = {
                    "keys": [STATE, *keys],
                    "args": [run, secrets.randbits(63), *arguments],
                }
                response = script(**keywords) if run else self._redis.ping()
                # It may have connected meanwhile, to one that was started anew.
                if run and run == self._run:
                    return response

        return self._asking(ask)

    def _is_trusted(self, name: int) -> bool:
        """Whether nobody distrusts the counters of this name (see ``distrust``).

        To be called after what is to be trusted was read. Others are deleted.
        """
        trusted, until = self._trusted
        if trusted == (self._run, name) and time.monotonic() < until:
            return True
        started = time.monotonic()
        if not self._asking(
            lambda: self._redis.script_exists(_distrust_script(name)[1])
        )[0]:
            self._trusted = (self._run, name), started + TRUST_SECONDS
            return True
        self._call(self._leave, [], name)
        return False

    def distrust(self) -> float:
        """Have all processes distrust the counters, in a Redis that takes no writes.

        From then on nobody believes what is kept now. Returns when that is so, as the
        monotonic clock has it. It is told by a script that nobody runs: a Redis takes
        scripts where it takes nothing else, also as a replica. That it is there says
        that these counters have missed a change.
        """
        distrusted: int | None = None
        while True:
            found = self._asking(lambda: self._redis.hget(STATE, "name"))
            if found is None:
                return time.monotonic()
            if int(found) == distrusted:
                return self._distrusted[1]
            distrusted = int(found)
            script = _distrust_script(distrusted)[0]
            self._asking(partial(self._redis.script_load, script))
            if self._distrusted[0] != (self._run, distrusted):
                # Whoever has looked before it came believes for as long.
                until = time.monotonic() + TRUST_SECONDS * 1.1
                self._distrusted = (self._run, distrusted), until

    def snapshot(self) -> RedisSnapshot:
        """Return how many changes there were by now."""
        for _ in range(ATTEMPTS):
            name, seq = map(int, self._call(self._snapshot, [NOTHING]))
            if self._is_trusted(name):
                return RedisSnapshot(name, seq)
        raise RedisRefused("its counters are begun anew all the time")

    def read(
        self, slot: int, key: bytes, generation: int | None
    ) -> tuple[Version, bytes | None]:
        """Return a slot's version, and what is kept at ``key``; None if nothing is.

        None, too, where the generation still is ``generation``: the caller has it.
        """
        for _ in range(ATTEMPTS):
            name = self._name
            numbers = ("", "") if generation is None else (name, generation ^ name)
            response = self._call(self._read, [NOTHING, PAGE + key], slot, *numbers)
            version = Version(*(int(value or 0) for value in response[:4]))
            self._name = version.name
            if self._is_trusted(version.name):
                return version, response[4] if len(response) > 4 else None
        raise RedisRefused("its counters are begun anew all the time")

    def fill(self, since: RedisSnapshot, slot: int, sealed: Sealed) -> int | None:
        """Keep values, and return the slot's generation.

        None, and nothing is kept, where the slot has changed ``since`` then.
        """
        keys, arguments = _arguments(sealed)
        return self._since(self._fill, keys, slot, since, *arguments)

    def hold(self, since: RedisSnapshot, slot: int) -> int | None:
        """Return what ``fill`` would, and keep nothing, as where there is no room."""
        return self._since(self._hold, [], slot, since)

    def _since(
        self,
        script: Any,
        keys: list[bytes],
        slot: int,
        since: RedisSnapshot,
        *arguments: Any,
    ) -> int | None:
        number = self._call(script, keys, slot, since.name, since.seq, *arguments)
        return None if number is None else since.name ^ int(number)

    def patch(self, version: Version, slot: int, sealed: Sealed) -> bool:
        """Change a slot's generation, and values.

        False, and nothing is changed, where the slot has another version by now.
        """
        keys, arguments = _arguments(sealed)
        expected = version.name, version.number, version.fillings
        arguments = [slot, *expected, secrets.randbits(63), *arguments]
        return bool(self._call(self._patch, [NOTHING, *keys], *arguments))

    def invalidate(self, slots: Iterable[int]) -> None:
        """Change epochs and generations: what is kept in these slots is stale."""
        self._call(self._invalidate, [NOTHING], secrets.randbits(63), *slots)

    def prepare(self) -> None:
        """Open a connection for ``leave_word``, which then waits for nothing."""
        if self._spare is None:
            spare = self._asking(lambda: self._client(single_connection_client=True))
            self._asking(lambda: spare.script_load(_INVALIDATE))
            self._spare = spare

    def leave_word(self, slot: int) -> None:
        """Send what ``invalidate`` sends, and don't wait for the response.

        For a Redis that hangs. When it reads on, it does this before it responds to
        anybody else, even if this process is gone by then.
        """
        spare, fresh = self._spare, secrets.randbits(63)
        if spare is not None and spare.connection is not None:
            send: Callable[..., None] = spare.connection.send_command
            arguments = self._run, fresh, fresh, slot
            try:
                send("EVALSHA", self._invalidate.sha, 2, STATE, NOTHING, *arguments)
            except (redis.RedisError, OSError):
                self.dismiss()

    def dismiss(self) -> None:
        """Close the connection of ``leave_word``; its responses stay unread."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def lock(self, do: Callable[[RedisLocks], T]) -> T:
        """Return what ``do`` says when it is given the locks."""
        said: T = self._asking(lambda: do(self._locks))
        return said


def _distrust_script(name: int) -> tuple[str, str]:
    """Return the script that marks the counters of this name, and its hash."""
    script = f"return 'tahoestorage: a change is not in the counters {name}'"
    return script, sha1(script.encode(), usedforsecurity=False).hexdigest()


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
