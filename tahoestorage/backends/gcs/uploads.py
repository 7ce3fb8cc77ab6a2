"""Content on its way to Google Cloud Storage, in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks packed as one gzip file: equal bytes for equal chunks."""
    packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
