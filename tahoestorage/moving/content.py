"""The content of one file on its way."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

from tahoestorage.moving.throttle import Throttle


class SourceChanged(OSError):
    """The file is not the one that it was when it was looked at."""


class Hasher(Protocol):
    """A hash of hashlib's kind."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Content:
    """A file as it is read: paced, counted and hashed.

    It must have ``size`` bytes, where that is known: before the last of them is given
    away, more or fewer raise Changed, and ``check`` is called, which may raise. So a
    store publishes nothing that is not the whole file. Of unknown size, it is read
    once, from its start. Closing it is the caller's.
    """

    closed = False

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
        """Read ``file``, hashed by ``hashed_by``, or by BLAKE2.

        What is not ``counted`` is only looked at, and is no progress.
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
        """The hash of what was read."""
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
        """Return ``size`` bytes, fewer only at the end."""
        found: list[bytes] = []
        while size:
            block = self._throttle.block
            some = self._file.read(block if size < 0 else min(size, block))
            if not some:
                if self._position == self._reached:
                    self._end()
                break
            self._took(some)
            found.append(some)
            if size > 0:
                size -= len(some)
        return found[0] if len(found) == 1 else b"".join(found)

    def _took(self, some: bytes) -> None:
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

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""
