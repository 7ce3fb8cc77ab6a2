"""Content on its way to Google Cloud Storage, in bounded memory."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator


class Forward:
    """A file of the chunks given, for a reader that never goes back."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer at the end only."""
        parts: list[memoryview] = []
        wanted = size
        while wanted:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            part, self._rest = self._rest[:wanted], self._rest[wanted:]
            parts.append(part)
            wanted -= len(part)
        self._position += size - wanted
        return b"".join(parts)

    def tell(self) -> int:
        return self._position

    def again(self, start: bytes) -> Forward:
        """Return what begins with ``start``, which was read, and goes on with the rest.

        This one is used up.
        """
        return Forward(itertools.chain([start, bytes(self._rest)], self._chunks))


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks as one gzip file, the same each time."""
    packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
