"""The caches of this process: one for all storages with the same options."""

from __future__ import annotations

import functools

from tahoestorage.cache import EntryCache
from tahoestorage.conf import CacheOptions


@functools.cache
def entry_cache(options: CacheOptions | None) -> EntryCache:
    """Return the cache with these options; one that keeps nothing for None."""
    if options is None:
        return EntryCache(None, memory_entries=0)
    return EntryCache(
        options.directory,
        size_limit=options.size_limit,
        lifetime=options.lifetime,
        memory_entries=options.memory_entries,
    )
