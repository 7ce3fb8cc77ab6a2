"""Locks in a Redis: each has one holder at most, and ends by itself."""

from __future__ import annotations

from typing import Any

import redis

LOCKS = b"tahoestorage:locks"
OLD_LOCK = "tahoestorage:lock:"
NEXT = "tahoestorage:next:"
NOTHING = b"tahoestorage:nothing"
"""Nothing is ever kept there."""
# For as long somebody who waits keeps his place as the next one.
NEXT_SECONDS = 0.25

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
# waits may note that he is next; else a process that gives a lock back and wants it
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
_GIVE_BACK = f"""{_HOLDER}
if holder() ~= token then return 0 end
redis.call('DEL', KEYS[2])
return redis.call('HDEL', KEYS[1], name)
"""


class RedisLocks:
    """The locks in the Redis of ``client``. Each method raises what redis-py raises.

    A lock is held for ``seconds`` by whoever knows its ``token``.
    """

    def __init__(self, client: redis.Redis) -> None:
        register = client.register_script
        self._take, self._keep = register(_TAKE), register(_KEEP)
        self._give_back = register(_GIVE_BACK)

    def take(self, name: str, token: str, seconds: float) -> bool:
        """Take the lock, unless somebody else has it or is before us."""
        times = _milliseconds(seconds), _milliseconds(NEXT_SECONDS)
        return self._call(self._take, name, token, *times)

    def keep(self, name: str, token: str, seconds: float) -> bool:
        """Hold it for the whole time again; False if it is not ours any more."""
        return self._call(self._keep, name, token, _milliseconds(seconds))

    def give_back(self, name: str, token: str) -> bool:
        """Give it back; False if it was not ours any more."""
        return self._call(self._give_back, name, token)

    @staticmethod
    def _call(script: Any, name: str, token: str, *times: int) -> bool:
        keys = [LOCKS, OLD_LOCK + name, NEXT + name, NOTHING]
        return bool(script(keys=keys, args=[name, token, *times]))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
