"""Filling a cache with what a store lists."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.lookups import Lookups
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.config.settings import CacheOptions, read_cache_options
from tahoestorage.moving.grid import Grid
from tahoestorage.moving.names import NoFile
from tahoestorage.moving.objects import Objects
from tahoestorage.moving.store import Found


def cache_options(storage: Storage) -> CacheOptions | None:
    """Return the options of a storage's cache; None where it is off.

    Raises ImproperlyConfigured, also for a storage that never has one.
    """
    if isinstance(storage, TahoeStorage):
        return storage.options.cache
    if isinstance(storage, Lookups):
        return read_cache_options(storage._cache_given)
    raise ImproperlyConfigured(
        "It has no cache: only storages of this package remember what a store said."
    )


def warm(storage: Storage) -> Iterator[Found]:
    """Keep all that a store lists, and yield each file when it is kept."""
    if isinstance(storage, Cached):
        yield from _warm_objects(storage)
    elif isinstance(storage, TahoeStorage):
        # Whatever is listed is kept.
        for found in Grid(storage).walk():
            if not isinstance(found.error, NoFile):
                yield found


def _warm_objects(storage: Cached) -> Iterator[Found]:
    store = Objects(storage)
    pages = iter(storage._pages(storage._base))
    while True:
        ticket = storage._entries.ticket()
        try:
            page = next(pages, None)
        except Exception as error:
            yield Found("", error=error)
            return
        if page is None:
            return
        for key, entry in page:
            name = key[len(storage._base) :]
            # Nobody asks for the others, and some would be taken for another.
            if name and store.refuses(name) is None:
                storage._fill(ticket, storage._item(name), entry)
                yield Found(name)
