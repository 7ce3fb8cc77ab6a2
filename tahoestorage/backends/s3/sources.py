"""What is uploaded to S3, as bytes; the caller's file stays open."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
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

    def is_shorter_than(self, size: int) -> bool:
        """Whether it has fewer bytes; if need be, so many are read, and kept.

        Then the size of what is short is known.
        """
        if self.size is None:
            start = self.read(size)
            self.taken -= len(start)
            self._pieces = itertools.chain([bytes(self._rest)], self._pieces)
            self._rest = memoryview(start)
            if len(start) == size:
                return False
            self.size = len(start)
        return self.size < size

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


@contextlib.contextmanager
def sized(source: Source) -> Iterator[Source]:
    """Yield what sends the same and is of known size: if need be, a file in its place.

    Of what is on disk then, no more than a chunk is in memory.
    """
    if source.size is not None:
        yield source
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(source, file, CHUNK)
        yield SeekableSource(file)


def _read(content: Any) -> Iterator[bytes | str]:
    while piece := content.read(CHUNK):
        yield piece
