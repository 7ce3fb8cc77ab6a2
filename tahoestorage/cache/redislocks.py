"""Write locks in a Redis: each has one holder at most, and ends by itself."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from weakref import WeakValueDictionary

import redis

from tahoestorage.cache.errors import RedisUnusable
from tahoestorage.cache.locks import WriteLock
from tahoestorage.exceptions import StoreError, WriteCollision

T = TypeVar("T")
LOCKS = b"tahoestorage:locks"
OLD_VERSION_LOCK = "tahoestorage:lock:"
NEXT = "tahoestorage:next:"
UNCLEAR = "tahoestorage:unclear:"
"""Before a lock's name: the gateways that may still unlink or replace something, each
with when that was noted. As the hash, it has no end, so that a Redis keeps it that
drops only what has one."""
NOTHING = b"tahoestorage:nothing"
"""Nothing is ever kept there."""
# For as long somebody who waits keeps his place as the next one.
NEXT_SECONDS = 0.25
POLL_SECONDS = 0.02
# How often the time of one holder is waited for: others may be before us.
PATIENCE = 3
# How often a lock is prolonged in the time that it outlives its holder.
BEATS = 8

# All locks are in one hash, each with its holder's token and when it ends. The hash has
# no end itself, so that a Redis that drops only what has one keeps it. Beside it stands
# the lock of redis-py's kind, for workers of an older version know no other.
#
# Each script begins with a change that changes nothing: so begun, it goes on also in a
# Redis that is full.
_HOLDER = """
redis.call('DEL', KEYS[4])
local name, token = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function holder()
  local old = redis.call('GET', KEYS[2])
  if old and old ~= token then return old end
  local held = redis.call('HGET', KEYS[1], name)
  if held then
    local whose, ends = string.match(held, '^(%S+) (%d+)$')
    if tonumber(ends) > now then return whose end
  end
  return old
end
local function hold()
  redis.call('HSET', KEYS[1], name, string.format('%s %.0f', token, now + ARGV[3]))
  redis.call('SET', KEYS[2], token, 'PX', ARGV[3])
  return 1
end
"""
# Whoever finds himself there has it already: it was the response that got lost. Who
# waits may note that he is next; else a process that releases a lock and wants it
# again at once would always come before those who look every now and then.
_TAKE = f"""{_HOLDER}
local whose, following = holder(), redis.call('GET', KEYS[3])
local free = not whose and (not following or following == token)
if free or whose == token then
  if following == token then redis.call('DEL', KEYS[3]) end
  return hold()
end
if not following or following == token then
  redis.call('SET', KEYS[3], token, 'PX', ARGV[4])
end
return 0
"""
_KEEP = f"""{_HOLDER}
if holder() ~= token then return 0 end
return hold()
"""
_RELEASE = f"""{_HOLDER}
if holder() ~= token then return 0 end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[5], ARGV[3])
return redis.call('HDEL', KEYS[1], name)
"""
_NOTE = f"""{_HOLDER}
if holder() ~= token then return 0 end
redis.call('ZADD', KEYS[5], string.format('%.0f', now), ARGV[3])
return 1
"""
_FORGIVE = f"""{_HOLDER}
if holder() ~= token then return 0 end
redis.call('ZREM', KEYS[5], ARGV[3])
return 1
"""


class RedisLocks:
    """The locks in the Redis of ``client``. Each method raises what redis-py raises.

    A lock is held for ``seconds`` by whoever knows its ``token``.
    """

    def __init__(self, client: redis.Redis) -> None:
        register = client.register_script
        self._client = client
        self._take, self._keep = register(_TAKE), register(_KEEP)
        self._release = register(_RELEASE)
        self._note, self._forgive = register(_NOTE), register(_FORGIVE)

    def take(self, name: str, token: str, seconds: float) -> bool:
        """Take the lock, unless somebody else has it or is before us."""
        times = _milliseconds(seconds), _milliseconds(NEXT_SECONDS)
        return self._call(self._take, name, token, *times)

    def keep(self, name: str, token: str, seconds: float) -> bool:
        """Hold it for ``seconds`` from now; False if it is not ours any more."""
        return self._call(self._keep, name, token, _milliseconds(seconds))

    def release(self, name: str, token: str, answered: str = "") -> bool:
        """Release it; False if it was not ours any more.

        Of the gateway that has ``answered`` nothing is noted any more.
        """
        return self._call(self._release, name, token, answered)

    def unclear(self, name: str) -> dict[str, float]:
        """Return the gateways of which ``note`` was the last, and seconds since."""
        found: Any = self._client.zrange(UNCLEAR + name, 0, -1, withscores=True)
        if not found:
            return {}
        clock: Any = self._client.time()
        now = clock[0] + clock[1] / 1e6
        return {bytes(each).decode(): now - at / 1000 for each, at in found}

    def note(self, name: str, token: str, gateway: str) -> bool:
        """Note a gateway that may unlink or replace; False if it is not our lock."""
        return self._call(self._note, name, token, gateway)

    def forgive(self, name: str, token: str, gateway: str) -> bool:
        """Note nothing of a gateway any more; False if it is not our lock."""
        return self._call(self._forgive, name, token, gateway)

    @staticmethod
    def _call(script: Any, name: str, token: str, *more: int | str) -> bool:
        keys = [LOCKS, OLD_VERSION_LOCK + name, NEXT + name, NOTHING, UNCLEAR + name]
        return bool(script(keys=keys, args=[name, token, *more]))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


class Ask(Protocol):
    """Has a function do something with the locks. Raises RedisUnusable."""

    def __call__(self, do: Callable[[RedisLocks], T], /) -> T:
        """Return what the function returns."""


class LockQueues:
    """The queues of this process: for each lock, the threads that want it.

    Only the first of a queue asks the Redis for the lock.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queues: WeakValueDictionary[str, _LockQueue] = WeakValueDictionary()

    def queue(self, name: str) -> _LockQueue:
        """Return the queue for the lock called ``name``."""
        with self._guard:
            return self._queues.setdefault(name, _LockQueue())


class _LockQueue:
    def __init__(self) -> None:
        self.first = threading.Lock()


class RedisWriteLock(WriteLock):
    """The write lock to a directory, among all hosts that share a Redis.

    It is held for the block, and prolonged by a thread from the first request on. Then
    it is released, except where nobody knows whether the write goes on: after a request
    with a StoreError, or where the process ends, it stays for ``seconds``, or an eighth
    more. A holder's request takes ``longest`` seconds at most: so it is known how long
    to wait. While the Redis is away writers do without, and ``without`` is called.
    """

    def __init__(
        self,
        ask: Ask,
        queues: LockQueues,
        name: str,
        label: str,
        seconds: float,
        longest: float = 0.0,
        *,
        without: Callable[[str, RedisUnusable], None],
    ) -> None:
        self._ask = ask
        self._without = without
        self._queue = queues.queue(name)
        self._key = name, secrets.token_hex(16)
        self._label = label
        self._pause = seconds / BEATS
        self._seconds = seconds + self._pause
        self._patience = PATIENCE * (longest + seconds)
        self._over: threading.Event | None = None
        self._held = False
        self._sent = False
        self._answered = ""
        self.lost = False
        self.takes = 0

    @property
    def is_shared(self) -> bool:
        return self._held

    def __enter__(self) -> Self:
        until = time.monotonic() + self._patience
        if not self._queue.first.acquire(timeout=self._patience):
            raise self._collision()
        try:
            self._take(until)
        except BaseException:
            self._queue.first.release()
            raise
        return self

    def _take(self, until: float) -> None:
        try:
            while not self._ask(lambda locks: locks.take(*self._key, self._seconds)):
                if time.monotonic() > until:
                    raise self._collision()
                time.sleep(POLL_SECONDS)
        except RedisUnusable as error:
            self._held, self.lost = False, True
            self._without(self._label, error)
        else:
            self._held = True
            self.takes += 1

    def _collision(self) -> WriteCollision:
        return WriteCollision(
            f"{self._label}: other writers have held the lock for "
            f"{self._patience:.0f} seconds; try again"
        )

    def renew(self) -> None:
        if self._held:
            try:
                self._held = self._ask(
                    lambda locks: locks.keep(*self._key, self._seconds)
                )
            except RedisUnusable:
                self._held, self.lost = False, True
            else:
                if not self._held:
                    # It ended before this, and somebody else may have had it.
                    self.lost = self.lost or self._sent
                    self._take(time.monotonic() + self._patience)
        self._sent = True
        if self._held and self._over is None:
            self._over = threading.Event()
            # Without it the lock may end too early, which is noticed.
            with contextlib.suppress(RuntimeError):
                threading.Thread(
                    target=self._prolong,
                    args=(self._over,),
                    name="tahoestorage-lock",
                    daemon=True,
                ).start()

    def unclear(self) -> Mapping[str, float]:
        if self._held:
            try:
                return self._ask(lambda locks: locks.unclear(self._key[0]))
            except RedisUnusable:
                self._held, self.lost = False, True
        return {}

    def note(self, gateway: str) -> None:
        self._tell(lambda locks: locks.note(*self._key, gateway))

    def forgive(self, gateway: str) -> None:
        self._tell(lambda locks: locks.forgive(*self._key, gateway))

    def _tell(self, tell: Callable[[RedisLocks], bool]) -> None:
        """Tell the Redis something that only counts with the lock."""
        if self._held:
            with contextlib.suppress(RedisUnusable):
                if self._ask(tell):
                    return
            self._held, self.lost = False, True

    def answered(self, gateway: str) -> None:
        self._answered = gateway

    def _prolong(self, over: threading.Event) -> None:
        """Keep the lock, if it is still ours, while a request is under way."""
        while not over.wait(self._pause):
            with contextlib.suppress(RedisUnusable):
                self._ask(lambda locks: locks.keep(*self._key, self._seconds))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._over is not None:
            self._over.set()
        clear = not self._sent or exc_type is None
        if exc_type is not None and issubclass(exc_type, Exception):
            clear = clear or not issubclass(exc_type, StoreError)
        try:
            if self._held and clear:
                self._held = False
                try:
                    ours = self._ask(
                        lambda locks: locks.release(*self._key, self._answered)
                    )
                except RedisUnusable:
                    ours = False  # Nobody knows. It ends by itself.
                self.lost = self.lost or not ours
        finally:
            self._queue.first.release()
