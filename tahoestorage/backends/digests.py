"""Digests of contents, as stores of objects tell them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from django.utils.module_loading import import_string

MD5 = "md5"
SHA256 = "sha256"
CRC32C = "crc32c"
# Of what was uploaded in parts S3 tells the MD5 of the parts' MD5s, and how many they
# were; not how long. The usual lengths, and that of the parts that are copied.
PARTS = (8 << 20, 16 << 20, 128 << 20)
_OF_PARTS = re.compile('"?([0-9a-f]{32})-([0-9]+)"?')
_OF = " of "


class Hasher(Protocol):
    """What makes a digest."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take some of the content."""

    def digest(self) -> bytes:
        """Return the digest of all of it."""


class _PartsHasher:
    """What S3 tells of a content that was uploaded in parts of so many bytes."""

    def __init__(self, algorithm: str, part: int) -> None:
        self._algorithm = algorithm
        self._part = part
        self._left = part
        self._hash = hasher(algorithm)
        self._digests: list[bytes] = []

    def update(self, data: bytes | memoryview, /) -> None:
        rest = memoryview(data)
        while rest:
            if not self._left:
                self._digests.append(self._hash.digest())
                self._hash, self._left = hasher(self._algorithm), self._part
            some, rest = rest[: self._left], rest[self._left :]
            self._hash.update(some)
            self._left -= len(some)

    def digest(self) -> bytes:
        whole = hasher(self._algorithm)
        whole.update(b"".join([*self._digests, self._hash.digest()]))
        return whole.digest()


def hasher(algorithm: str) -> Hasher:
    """Return what makes digests by an algorithm.

    It is "md5", "sha256" or "crc32c" (4 bytes, big-endian), or "md5 of LENGTH" and
    "sha256 of LENGTH", of parts of so many bytes.
    """
    name, _, part = algorithm.partition(_OF)
    if part:
        return _PartsHasher(name, int(part))
    made: Any
    if name == CRC32C:
        # Of the library that google-cloud-storage needs.
        made = import_string("google_crc32c.Checksum")()
    else:
        made = hashlib.new(name, usedforsecurity=name != MD5)
    found: Hasher = made
    return found


def of_length(algorithm: str, part: int) -> str:
    """Return the algorithm's name for a content in parts of so many bytes."""
    return f"{algorithm}{_OF}{part}"


def is_of_parts(algorithm: str) -> bool:
    """Return whether an algorithm is one that ``of_length`` names.

    A store does not tell the parts' length: where its digest differs, the content may
    be the same in other parts.
    """
    return _OF in algorithm


def of_parts(etag: str, size: int, lengths: Iterable[int]) -> dict[str, bytes]:
    """Return what S3 tells of an object of several parts, by algorithm.

    ``size`` is of the object in bytes; ``lengths`` are those that its parts may have.
    """
    found = _OF_PARTS.fullmatch(etag)
    if found is None:
        return {}
    digest, count = bytes.fromhex(found[1]), int(found[2])
    fitting = (part for part in lengths if -(-size // part) == count)
    return {of_length(MD5, part): digest for part in fitting}


def is_one_of(content: Iterable[bytes], cached: Mapping[str, bytes]) -> bool:
    """Whether a content has one of these digests, of which there is one at least."""
    hashers = {algorithm: hasher(algorithm) for algorithm in cached}
    for piece in content:
        for each in hashers.values():
            each.update(piece)
    return any(each.digest() == cached[name] for name, each in hashers.items())
