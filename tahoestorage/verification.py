"""Whether a store really holds what it was sent::

    from tahoestorage.verification import ContentDigest

    digest = ContentDigest(storage, size)
    for piece in content.chunks():
        digest.update(piece)
    ...
    if not digest.is_stored(name): ...

A store may lose or change bytes on their way, or say that it has them too early.
"""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.files.storage import Storage

from tahoestorage.backends import digests
from tahoestorage.backends.digests import SHA256

__all__ = ["ContentDigest"]
_CHUNK = 1 << 20


class ContentDigest:
    """The SHA-256 of a content, and what its store will tell of it besides.

    It is made while the content is read, once. ``size`` is the content's, in bytes.
    """

    def __init__(self, storage: Storage, size: int) -> None:
        self._storage: Any = storage
        self._size = size
        self._taken = 0
        tells = getattr(storage, "content_algorithms", None)
        algorithms = () if tells is None else tells(size)
        self._hashers = {
            name: digests.hasher(name) for name in dict.fromkeys((SHA256, *algorithms))
        }

    def update(self, data: bytes) -> None:
        """Take some of the content."""
        self._taken += len(data)
        for each in self._hashers.values():
            each.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was taken, in hex."""
        return self._hashers[SHA256].digest().hex()

    def is_stored(self, name: str) -> bool:
        """Return whether the store holds just this content by this name, whole.

        S3 tells the SHA-256 that it compared when the file was saved, Google Cloud
        Storage its own CRC-32C: a request each. Whatever tells neither, a grid or a
        disk, is read back, and so is what is stored packed, or in parts of another
        length than this storage's. A grid has up to 55 bytes in the cap itself (LIT),
        and is asked nothing. Raises what the storage raises where it can't be asked.
        """
        if self._taken != self._size:
            return False
        with contextlib.suppress(FileNotFoundError):
            tells = getattr(self._storage, "stored_checksums", None)
            told = {} if tells is None else tells(name)
            agrees = {
                algorithm: self._hashers[algorithm].digest() == digest
                for algorithm, digest in told.items()
                if algorithm in self._hashers
            }
            whole = [agrees[a] for a in agrees if not digests.is_of_parts(a)]
            if whole:
                return all(whole)
            # Of parts of another length the digest is another.
            if any(agrees.values()):
                return True
            return self._read_back(name) == (self._size, self.sha256)
        return False

    def _read_back(self, name: str) -> tuple[int, str]:
        size, read = 0, digests.hasher(SHA256)
        with self._storage.open(name) as file:
            while some := file.read(_CHUNK):
                size += len(some)
                read.update(some)
        return size, read.digest().hex()
