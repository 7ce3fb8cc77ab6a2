"""The content of one file in transit, and the digests by which it is compared."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from tahoestorage.backends import digests
from tahoestorage.backends.digests import MD5, PARTS, Hasher
from tahoestorage.moving.throttle import Throttle

BLAKE2 = "blake2b"

_CLOSED = io.BytesIO()
_CLOSED.close()


def _made_by(algorithm: str) -> Callable[[], Hasher]:
    return lambda: digests.hasher(algorithm)


# No CRC: four bytes prove nothing.
HASHERS: dict[str, Callable[[], Hasher]] = {
    algorithm: _made_by(algorithm)
    for algorithm in (MD5, *(f"md5 of {part}" for part in PARTS))
}
"""What makes the digests that stores give, by the algorithm's name."""


class SourceChanged(OSError):
    """The file changed after its size and time were read."""


class Content:
    """A file that is throttled, counted and hashed while it is read.

    A store that reads it never stores less than the whole file: where ``size`` (bytes)
    is given, SourceChanged is raised before the last byte is returned if there are more
    or fewer, and ``check`` is called then, which may raise too. Without ``size`` it is
    read once, from its start. `close` closes the file and lets go of it: then
    ``digest`` and ``count`` are left.
    """

    def __init__(
        self,
        file: Any,
        throttle: Throttle,
        size: int | None = None,
        check: Callable[[], None] | None = None,
        *,
        hashed_by: Hasher | None = None,
        counted: bool = True,
    ) -> None:
        """Read ``file``, and hash it by ``hashed_by``; by BLAKE2 unless given.

        ``counted`` says whether what is read counts as progress.
        """
        self._file = file
        self._throttle = throttle
        self._expected = size
        self._check = check
        self._position = 0
        # How far it was read at any time: bytes that come again are not new.
        self._reached = 0
        self._hash: Hasher = hashed_by or blake2b(digest_size=32)
        self._counted = counted
        if size is not None:
            self.size = size

    @property
    def digest(self) -> bytes:
        """The digest of what was read."""
        return self._hash.digest()

    @property
    def count(self) -> int:
        """How many bytes were read."""
        return self._reached

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._expected is not None and bool(self._file.seekable())

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self.seekable():
            raise io.UnsupportedOperation("this content is read once")
        self._position = self._file.seek(offset, whence)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes, fewer only at the end.

        Raises SourceChanged, Stopped, and what reading the file raises.
        """
        found: list[bytes] = []
        while size:
            block = self._throttle.block
            some = self._file.read(block if size < 0 else min(size, block))
            if not some:
                # With the last block of the size that is expected it was said already.
                is_said = self._position == self._expected and self._position > 0
                if self._position == self._reached and not is_said:
                    self._end()
                break
            self._passed(some)
            found.append(some)
            if size > 0:
                size -= len(some)
        return found[0] if len(found) == 1 else b"".join(found)

    def _passed(self, some: bytes) -> None:
        new = max(self._position + len(some) - self._reached, 0)
        self._position += len(some)
        if new:
            if new > len(some):
                raise io.UnsupportedOperation("a part of the content was left out")
            self._hash.update(some[-new:] if new < len(some) else some)
            self._reached += new
        self._throttle.take(len(some), new if self._counted else 0)
        if self._position == self._expected:
            self._end()

    def _end(self) -> None:
        more = self._expected == self._position and self._file.read(1)
        if more or self._expected not in (None, self._position):
            raise SourceChanged(
                f"it should have {self._expected} bytes, and has "
                f"{'more' if more else self._position}"
            )
        if self._check is not None:
            self._check()

    @property
    def closed(self) -> bool:
        return self._file is _CLOSED

    def close(self) -> None:
        # Some files keep their content though they are closed.
        file, self._file = self._file, _CLOSED
        file.close()


def hasher(algorithm: str) -> Hasher | None:
    """Return a hasher for ``hashed_by``; None for BLAKE2, which Content uses itself."""
    return None if algorithm == BLAKE2 else HASHERS[algorithm]()


def digest_of(content: bytes, algorithm: str) -> bytes:
    """Return the digest of bytes in memory, by an algorithm in HASHERS."""
    made = HASHERS[algorithm]()
    made.update(content)
    return made.digest()
