"""Filling a cache from the listings of a store."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.lookups import Lookups
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.config.settings import CacheOptions
from tahoestorage.moving.grid import Grid
from tahoestorage.moving.names import NoFile
from tahoestorage.moving.objects import Objects
from tahoestorage.moving.store import Found


def cache_options(storage: Storage) -> CacheOptions | None:
    """Return the options of a storage's cache; None where it is off.

    Raises ImproperlyConfigured, also for a storage of another package, which has none.
    """
    if isinstance(storage, TahoeStorage | Lookups):
        return storage.cache_options
    raise ImproperlyConfigured(
        "It has no cache: only storages of this package remember what a store said."
    )


def warm(storage: Storage) -> Iterator[Found]:
    """Put all that a store lists into the cache; yield each file that is cached.

    What can't be listed is yielded with its ``error``.
    """
    if isinstance(storage, Cached):
        yield from _warm_objects(storage)
    elif isinstance(storage, TahoeStorage):
        # Whatever is listed is kept.
        for found in Grid(storage).walk():
            if not isinstance(found.error, NoFile):
                yield found


def _warm_objects(storage: Cached) -> Iterator[Found]:
    store = Objects(storage)
    # Nobody asks for what is refused, and some would be taken for another.
    names = storage.fill_cache(lambda name: store.refuses(name) is None)
    try:
        for name in names:
            yield Found(name)
    except Exception as error:
        yield Found("", error=error)
