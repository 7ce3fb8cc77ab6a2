"""Finds the storage that an argument of a command names, by its alias or URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.core.files.storage import FileSystemStorage, InvalidStorageError, Storage

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.config.settings import backends, storage_of_alias
from tahoestorage.moving.disk import Disk
from tahoestorage.moving.grid import Grid
from tahoestorage.moving.objects import Objects
from tahoestorage.moving.store import Store


def storage_of(argument: str) -> Storage:
    """Return the storage of an alias in STORAGES or of a URL.

    Raises ImproperlyConfigured, and InvalidStorageError, which is one.
    """
    if "://" in argument:
        from tahoestorage.env import storage_from_url

        return storage_from_url(argument)
    if "/" in argument and argument not in backends():
        raise InvalidStorageError(
            "it is no alias in STORAGES; a folder is given by its URL, such as "
            "file:///srv/media"
        )
    return storage_of_alias(argument)


def store_of(storage: Storage) -> Store:
    """Return the store by which files are moved to and from a storage."""
    if isinstance(storage, TahoeStorage):
        return Grid(storage)
    if isinstance(storage, Cached):
        return Objects(storage)
    if isinstance(storage, FileSystemStorage):
        return Disk(storage)
    return Store(storage)


def label(argument: str) -> str:
    """Return an alias or URL as it may be shown: without user, password and query."""
    if "://" not in argument:
        return argument
    try:
        parts = urlsplit(argument)
    except ValueError:
        return "the URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
