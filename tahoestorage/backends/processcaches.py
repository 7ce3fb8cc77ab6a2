"""The caches of this process: one for all storages with the same options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tahoestorage.cache import EntryCache
from tahoestorage.config.settings import CacheOptions
from tahoestorage.installed import warn_unless_installed
from tahoestorage.once import OnceForEach
from tahoestorage.redaction import redact


@OnceForEach
def entry_cache(options: CacheOptions | None) -> EntryCache:
    """Return the cache with these options; one that keeps nothing for None."""
    warn_unless_installed()
    if options is None:
        return EntryCache(None, memory_entries=0)
    return EntryCache(
        options.directory,
        size_limit=options.size_limit,
        lifetime=options.lifetime,
        memory_entries=options.memory_entries,
        redis=options.redis,
        content_size_limit=options.content_size_limit,
    )


def without_password(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a storage's options without those that have a password in a URL.

    Such as ``cache`` with that of a Redis. For pickles and migrations: there the
    setting takes its place.
    """
    return {key: v for key, v in options.items() if not _has_password(v)}


def _has_password(value: object) -> bool:
    # By its type: a key file is read when anything else is asked of it.
    kind, parts = type(value), value
    if issubclass(kind, str):
        return redact(str(value)) != str(value)
    if issubclass(kind, Mapping):
        # mypy sees an object, for it was narrowed by its type.
        parts = value.values()  # type: ignore[attr-defined]
    elif not issubclass(kind, list | tuple | set | frozenset):
        return False
    # As above.
    return any(map(_has_password, parts))  # type: ignore[call-overload]
