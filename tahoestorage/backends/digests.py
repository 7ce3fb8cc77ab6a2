"""Digests of contents, as stores of objects tell them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

MD5 = "md5"
# Of what was uploaded in parts S3 tells the MD5 of the parts' MD5s, and how many they
# were; not how long. The usual lengths, and that of the parts that are copied.
PARTS = (8 << 20, 16 << 20, 128 << 20)
_OF_PARTS = re.compile('"?([0-9a-f]{32})-([0-9]+)"?')
_MD5_OF = f"{MD5} of "


class Hasher(Protocol):
    """What makes a digest."""

    def update(self, data: bytes, /) -> None:
        """Take some of the content."""

    def digest(self) -> bytes:
        """Return the digest of all of it."""


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


def hasher(algorithm: str) -> Hasher:
    """Return what makes digests by an algorithm: "md5", or "md5 of LENGTH" of parts."""
    if algorithm == MD5:
        made: Hasher = _md5()
        return made
    return _PartsHasher(int(algorithm.removeprefix(_MD5_OF)))


def of_parts(etag: str, size: int, lengths: Iterable[int]) -> dict[str, bytes]:
    """Return what S3 tells of an object of several parts, by algorithm.

    ``size`` is of the object in bytes; ``lengths`` are those that its parts may have.
    """
    found = _OF_PARTS.fullmatch(etag)
    if found is None:
        return {}
    digest, count = bytes.fromhex(found[1]), int(found[2])
    fitting = (part for part in lengths if -(-size // part) == count)
    return {f"{_MD5_OF}{part}": digest for part in fitting}


def is_one_of(content: Iterable[bytes], cached: Mapping[str, bytes]) -> bool:
    """Whether a content has one of these digests, of which there is one at least."""
    hashers = {algorithm: hasher(algorithm) for algorithm in cached}
    for piece in content:
        for each in hashers.values():
            each.update(piece)
    return any(each.digest() == cached[name] for name, each in hashers.items())
