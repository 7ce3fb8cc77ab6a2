"""Locks in a Redis: each has one holder at most, and ends by itself."""

from __future__ import annotations

from typing import Any

import redis

LOCK = "tahoestorage:lock:"
NEXT = "tahoestorage:next:"
# For as long somebody who waits keeps his place as the next one.
NEXT_SECONDS = 0.25

# The lock is what redis-py's own locks are, a value that only its holder knows. Whoever
# finds his own there has it already: it was the answer that got lost. Who waits may
# note that he is next; else a process that gives a lock back and wants it again at once
# would always come before those who look every now and then.
_TAKE = """
local holder = redis.call('GET', KEYS[1])
local following = redis.call('GET', KEYS[2])
local free = not holder and (not following or following == ARGV[1])
if free or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  if following == ARGV[1] then redis.call('DEL', KEYS[2]) end
  return 1
end
if not following or following == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
end
return 0
"""
_KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_GIVE_BACK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
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
        return _is_done(
            self._take(keys=[LOCK + name, NEXT + name], args=[token, *times])
        )

    def keep(self, name: str, token: str, seconds: float) -> bool:
        """Hold it for the whole time again; False if it is not ours any more."""
        return _is_done(
            self._keep(keys=[LOCK + name], args=[token, _milliseconds(seconds)])
        )

    def give_back(self, name: str, token: str) -> bool:
        """Give it back; False if it was not ours any more."""
        return _is_done(self._give_back(keys=[LOCK + name], args=[token]))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _is_done(answer: Any) -> bool:
    return bool(answer)
