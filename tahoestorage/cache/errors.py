"""The errors of tiers. None of them leaves the cache."""

from __future__ import annotations


class DiskError(Exception):
    """The disk tier could not do what was asked."""


class DiskLocked(DiskError):
    """Somebody else held the lock for too long."""


class RedisUnusable(Exception):
    """Redis could not do what was asked."""


class RedisRefused(RedisUnusable):
    """It said that it does not do it: it is there, and nothing was done."""


class RedisAway(RedisUnusable):
    """It has failed just now, and was not asked."""
