"""What is uploaded to S3, as bytes; the caller's file stays open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.files.base import File
from django.core.files.uploadedfile import InMemoryUploadedFile

from tahoestorage.backends.content import begins_anew, file_of

CHUNK = 1 << 20
_PLAIN = (File.chunks, InMemoryUploadedFile.chunks)


class Source:
    """Content to be read once, from its start; of unknown length.

    Each read is as long as it was asked to be, but for the last. Text is sent as UTF-8.
    """

    size: int | None = None

    def __init__(self, pieces: Iterable[bytes | str]) -> None:
        self.taken = 0
        """How many bytes were read."""
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = None) -> bytes:
        found: list[memoryview] = []
        wanted = -1 if size is None or size < 0 else size
        while wanted:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                if isinstance(piece, str):
                    piece = piece.encode()
                self._rest = memoryview(piece)
                continue
            some = self._rest if wanted < 0 else self._rest[:wanted]
            self._rest = self._rest[len(some) :]
            found.append(some)
            if wanted > 0:
                wanted -= len(some)
        self.taken += sum(map(len, found))
        return b"".join(found)

    def close(self) -> None:
        """Do nothing: s3transfer closes what it has sent."""


class SeekableSource(Source):
    """A file of bytes of known size, to be read in any order."""

    def __init__(self, file: Any) -> None:
        super().__init__(())
        self._file = file
        file.seek(0, os.SEEK_END)
        self.size = file.tell()
        file.seek(0)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = None) -> bytes:
        if size is None or size < 0:
            return bytes(self._file.read())
        found: bytes = self._file.read(size)
        while len(found) < size and (more := self._file.read(size - len(found))):
            found += more
        return found


def source_of(content: Any) -> Source:
    """Return what uploads ``content``, anew."""
    content = file_of(content)
    is_seekable = begins_anew(content)
    if is_seekable:
        content.seek(0)
    if getattr(content.chunks, "__func__", None) not in _PLAIN:
        # Whoever made chunks of his own may have no read, or mean something else by it.
        return Source(content.chunks())
    # Of text, the size is told in characters.
    if is_seekable and isinstance(content.read(0), bytes):
        return SeekableSource(content)
    return Source(_read(content))


def _read(content: Any) -> Iterator[bytes | str]:
    while piece := content.read(CHUNK):
        yield piece
