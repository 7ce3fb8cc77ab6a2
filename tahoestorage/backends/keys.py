"""The keys of objects in a bucket, from the names that a site uses."""

from __future__ import annotations

import functools

from django.core.exceptions import SuspiciousFileOperation
from storages.utils import clean_name, safe_join

from tahoestorage.backends.objectstore import ObjectStore

_cleaned = functools.lru_cache(maxsize=1 << 14)(clean_name)


class Keys(ObjectStore):
    """Makes keys as django-storages does, and remembers the last ones."""

    makes_keys = ("key_of", "_normalize_name")

    def _normalize_name(self, name: str) -> str:
        return _joined(self.location, name)

    def key_of(self, name: str) -> str:
        key = self._normalize_name(_cleaned(name))
        return key if name else key.rstrip("/")


@functools.lru_cache(maxsize=1 << 14)
def _joined(location: str, name: str) -> str:
    try:
        return str(safe_join(location, name))
    except ValueError:
        raise SuspiciousFileOperation(f"{name!r} is outside of the storage") from None
