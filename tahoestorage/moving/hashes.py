"""Hashes of contents: those that a store tells, and those that are made to compare."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from tahoestorage.backends.cached import Cached
from tahoestorage.entries import Entry
from tahoestorage.moving.content import Hasher

BLAKE2 = "blake2b"
MD5 = "md5"
# Of what was uploaded in parts S3 tells the MD5 of the parts' MD5s, and how many they
# were; not how long. The usual lengths, and that of the parts that are copied.
PARTS = (8 << 20, 16 << 20, 128 << 20)
_OF_PARTS = re.compile('"?([0-9a-f]{32})-([0-9]+)"?')


class _PartsHasher:
    """What S3 tells of a content that was uploaded in parts of so many bytes."""

    def __init__(self, part: int) -> None:
        self._part = part
        self._left = part
        self._hash = _md5()
        self._digests: list[bytes] = []

    def update(self, data: bytes, /) -> None:
        rest = memoryview(data)
        while rest:
            if not self._left:
                self._digests.append(self._hash.digest())
                self._hash, self._left = _md5(), self._part
            some, rest = rest[: self._left], rest[self._left :]
            self._hash.update(some)
            self._left -= len(some)

    def digest(self) -> bytes:
        return bytes(_md5(b"".join([*self._digests, self._hash.digest()])).digest())


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _parts(part: int) -> Callable[[], Hasher]:
    return lambda: _PartsHasher(part)


# No CRC: four bytes prove nothing.
HASHERS: dict[str, Callable[[], Hasher]] = {
    MD5: _md5,
    **{f"md5 of {part}": _parts(part) for part in PARTS},
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
    known = storage._md5(entry)
    return {} if known is None else {MD5: bytes.fromhex(known)}


def of_parts(storage: Cached, entry: Entry) -> dict[str, bytes]:
    """Return what S3 tells of an object of several parts, by the length of a part.

    Nothing where objects may be packed.
    """
    found = _OF_PARTS.fullmatch(entry.reference)
    if found is None or getattr(storage, "gzip", False) or entry.size is None:
        return {}
    digest, count = bytes.fromhex(found[1]), int(found[2])
    fitting = (part for part in PARTS if -(-entry.size // part) == count)
    return {f"md5 of {part}": digest for part in fitting}
