"""Content on its way to Google Cloud Storage, in bounded memory."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator


class Forward:
    """A file made of chunks, which can be read once, from its start."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes; fewer at the end only."""
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
        """Return how many bytes were read."""
        return self._position

    def again(self, start: bytes) -> Forward:
        """Return a file of ``start``, which was read already, and then of the rest.

        Do not read this one any more.
        """
        return Forward(itertools.chain([start, bytes(self._rest)], self._chunks))


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks packed as one gzip file: equal bytes for equal chunks."""
    packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
