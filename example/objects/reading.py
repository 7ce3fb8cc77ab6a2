"""A stored content, read to its end and hashed."""

from __future__ import annotations

import hashlib

from django.core.files.storage import Storage

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
