"""Digests by which contents are compared: a store's own, and those made here."""

from __future__ import annotations

from collections.abc import Callable

from tahoestorage.backends import digests
from tahoestorage.backends.cached import Cached
from tahoestorage.backends.digests import MD5, PARTS, Hasher
from tahoestorage.entries import Entry

BLAKE2 = "blake2b"


def _made_by(algorithm: str) -> Callable[[], Hasher]:
    return lambda: digests.hasher(algorithm)


# No CRC: four bytes prove nothing.
HASHERS: dict[str, Callable[[], Hasher]] = {
    algorithm: _made_by(algorithm)
    for algorithm in (MD5, *(f"md5 of {part}" for part in PARTS))
}


def hasher(algorithm: str) -> Hasher | None:
    """Return what makes a digest; None for BLAKE2, which all contents are hashed by."""
    return None if algorithm == BLAKE2 else HASHERS[algorithm]()


def digest_of(content: bytes, algorithm: str) -> bytes:
    """Return the digest of a content that is at hand."""
    made = HASHERS[algorithm]()
    made.update(content)
    return made.digest()


def of_whole(storage: Cached, entry: Entry) -> dict[str, bytes]:
    """Return the MD5 of an object's content, if its store tells it."""
    known = storage.content_md5(entry)
    return {} if known is None else {MD5: bytes.fromhex(known)}


def of_parts(storage: Cached, entry: Entry) -> dict[str, bytes]:
    """Return what S3 tells of an object of several parts, by the length of a part.

    Nothing where objects may be packed.
    """
    if getattr(storage, "gzip", False) or entry.size is None:
        return {}
    return digests.of_parts(entry.reference, entry.size, PARTS)
