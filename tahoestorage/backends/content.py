"""Content as Django gives it to a storage, made readable for what sends it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.core.files.base import File
from django.core.files.uploadedfile import InMemoryUploadedFile

from tahoestorage.exceptions import StoreError
from tahoestorage.tahoe.uploads import UploadBody

# Django's own chunks are of 64 KiB, and sending so many costs a part of the rate.
CHUNK = 1 << 20
_PLAIN = (File.chunks, InMemoryUploadedFile.chunks)


# What a client says goes into headers: it is believed only in its usual form.
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,127}/[\w.+-]{1,127}(;[ !-~]{0,256})?", re.ASCII)


def file_of(content: Any) -> Any:
    """Return content as a File, which has ``chunks``; it may be all that has ``read``.

    Django's ``save`` sees to that, but not for those who call ``_save`` themselves.
    """
    return content if hasattr(content, "chunks") else File(content)


def media_type_of(content: Any) -> str | None:
    """Return the Content-Type that an upload brings along, None for none."""
    given = getattr(content, "content_type", None)
    if isinstance(given, str) and _MEDIA_TYPE.fullmatch(given):
        return given
    return None


def body_of(content: Any) -> UploadBody:
    """Return the body that sends ``content``; text is sent as UTF-8."""
    content = file_of(content)
    chunks = content.chunks
    if getattr(chunks, "__func__", None) is File.chunks:
        chunks = functools.partial(chunks, CHUNK)
    return UploadBody(chunks, repeatable=begins_anew(content))


def begins_anew(content: Any) -> bool:
    """Return whether content can be read from its start as often as one likes."""
    # Django's File has a seekable() also where there is no seek to go back with.
    try:
        return bool(content.seek and content.seekable())
    except AttributeError:
        return False


class Source:
    """Content that is read once, from its start; ``size`` in bytes, None if unknown.

    Each read but the last returns as many bytes as were asked for. Text is encoded as
    UTF-8.
    """

    size: int | None = None

    def __init__(self, pieces: Iterable[bytes | str]) -> None:
        self.taken = 0
        """How many bytes were read so far."""
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        """Return how many bytes were read so far."""
        return self.taken

    def read(self, size: int | None = None) -> bytes:
        """Return ``size`` bytes, fewer at the end only; all that is left without it."""
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
            # An empty view of it would keep the whole piece in memory.
            self._rest = self._rest[len(some) :] or memoryview(b"")
            found.append(some)
            if wanted > 0:
                wanted -= len(some)
        self.taken += sum(map(len, found))
        return b"".join(found)

    def is_shorter_than(self, size: int) -> bool:
        """Return whether there are fewer than ``size`` bytes left.

        They are read and kept where the size is unknown. ``size`` is set if it is so.
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
        """Do nothing: s3transfer closes what it has sent, and the file is another's."""


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
    """Return ``content`` as a source, from its start."""
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
    """Yield a source of known size: if need be, the content in a temporary file.

    No more than a chunk of it is in memory.
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


@contextlib.contextmanager
def repeatable(content: Any) -> Iterator[Any]:
    """Yield content that can be sent anew by another name, where the first is taken.

    What can be read once, such as a pipe, is kept in a temporary file while it is sent;
    no more than a chunk of it is in memory.
    """
    body = body_of(content)
    if body.repeatable:
        yield content
        return
    with tempfile.TemporaryFile() as file:
        yield SpooledContent(content, body.begin(), file)


class SpooledContent:
    """Content that can be read once, made readable as often as one likes.

    The first reading keeps it in ``file``, and each one begins at the start. All other
    attributes are those of ``content``. A full disk does not stop the first reading;
    only a second one raises StoreError then.
    """

    def __init__(self, content: Any, pieces: Iterator[bytes], file: IO[bytes]) -> None:
        self._content = content
        self._pieces = pieces
        self._file = file
        self._is_kept = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int) -> int:
        """Do nothing: each reading begins at the start."""
        return 0

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the content from its start, chunk by chunk."""
        with self._keeping():
            self._file.seek(0)
        if not self._is_kept:
            name = getattr(self._content, "name", None) or "the content"
            raise StoreError(
                f"{name}: the name was taken while the file was sent, its content can "
                "be read once only, and the folder for temporary files has no room "
                "for it; save it anew, or set TMPDIR to a folder with more"
            )
        while piece := self._file.read(CHUNK):
            yield piece
        for piece in self._pieces:
            if self._is_kept:
                with self._keeping():
                    self._file.write(piece)
            yield piece

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._is_kept = False
            # What is there is of no use any more, and the disk is full.
            with contextlib.suppress(OSError):
                self._file.truncate(0)
