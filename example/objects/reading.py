"""Stores are read: a content to its end, and names as they are now."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

from django.core.files.storage import Storage

from objects.models import Version

CHUNK = 1 << 20  # bytes


def hashed(storage: Storage, key: str) -> tuple[int, str]:
    """Return the size of a content in bytes, and its SHA-256 in hex.

    Raises FileNotFoundError, and what the storage raises.
    """
    size, digest = 0, hashlib.sha256()
    with storage.open(key) as file:
        while some := file.read(CHUNK):
            size += len(some)
            digest.update(some)
    return size, digest.hexdigest()


def whole(version: Version) -> str:
    """Return the SHA-256 of a version's bytes, ``""`` where they are not all there.

    All are there if they are as many as were announced and, where the row says their
    hash, are the right ones. Raises FileNotFoundError, and what the storage raises.
    """
    size, sha256 = hashed(version.storage, version.key)
    is_whole = size == version.size and version.sha256 in ("", sha256)
    return sha256 if is_whole else ""


@contextlib.contextmanager
def fresh(storage: Any, prefix: str) -> Iterator[None]:
    """Within the block, let no cache tell of such names what it knew before."""
    prefetch = getattr(storage, "prefetch", None)
    with contextlib.nullcontext() if prefetch is None else prefetch(prefix):
        yield
