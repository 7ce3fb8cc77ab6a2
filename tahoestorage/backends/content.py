"""Content as Django gives it to a storage, made into bytes for what sends it.

There is one adapter, ``body_of``: the body yields chunks, as often as the content can
be read, which the client of a gateway sends. boto3 and Google's library want a file
object, and get a ``BodyReader`` over these chunks.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.core.files.base import File
from django.core.files.storage import Storage
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
    """Return ``content`` as chunks of bytes, from its start; text becomes UTF-8."""
    content = file_of(content)
    is_repeatable = begins_anew(content)
    chunks = content.chunks
    if getattr(chunks, "__func__", None) is File.chunks:
        # Django's own go back to the start, which a bare pipe refuses.
        read = functools.partial(_read, content)
        chunks = functools.partial(chunks, CHUNK) if is_repeatable else read
    return UploadBody(chunks, repeatable=is_repeatable)


def _read(content: Any) -> Iterator[bytes | str]:
    while chunk := content.read(CHUNK):
        yield chunk


def begins_anew(content: Any) -> bool:
    """Return whether content can be read from its start as often as one likes."""
    # Django's File has a seekable() also where there is no seek to go back with.
    try:
        return bool(content.seek and content.seekable())
    except AttributeError:
        return False


class BodyReader:
    """A file object over chunks of bytes, such as those of a body, to be read once.

    Each read but the last returns as many bytes as were asked for. ``size`` is how many
    there are in all, None if that is unknown.
    """

    size: int | None = None
    announced: int | None = None
    """How many there will be, as the content says: believed by nothing but guesses."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.taken = 0
        """How many bytes were read so far."""
        self.error: Exception | None = None
        """What reading the content raised last; clients hide it behind their own."""
        self._chunks = iter(chunks)
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
        # In place, so that a part of 8 MiB takes no more while it is put together.
        found = io.BytesIO()
        wanted = -1 if size is None or size < 0 else size
        while wanted:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
                continue
            some = self._rest if wanted < 0 else self._rest[:wanted]
            # An empty view of it would keep the whole chunk in memory.
            self._rest = self._rest[len(some) :] or memoryview(b"")
            found.write(some)
            if wanted > 0:
                wanted -= len(some)
        self.taken += found.tell()
        return found.getvalue()

    def is_shorter_than(self, size: int) -> bool:
        """Return whether there are fewer than ``size`` bytes left.

        They are read and kept where the size is unknown. ``size`` is set if it is so.
        """
        if self.size is None:
            start = self.read(size)
            self.taken -= len(start)
            self._chunks = itertools.chain([bytes(self._rest)], self._chunks)
            self._rest = memoryview(start)
            if len(start) == size:
                return False
            self.size = len(start)
        return self.size < size

    def close(self) -> None:
        """Do nothing: s3transfer closes what it has sent, and the file is another's."""


class SeekableReader(BodyReader):
    """The same over a file of bytes: its size is known, and it is read in any order."""

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
        try:
            self.error = None
            return self._bytes(size)
        except Exception as error:
            self.error = error
            raise

    def _bytes(self, size: int | None) -> bytes:
        if size is None or size < 0:
            return bytes(self._file.read())
        found: bytes = self._file.read(size)
        while len(found) < size and (more := self._file.read(size - len(found))):
            found += more
        return found


def reader_of(content: Any) -> BodyReader:
    """Return a reader of ``content``, from its start: a seekable one where it can be.

    That is where the content is a file of bytes. Text becomes UTF-8.
    """
    content = file_of(content)
    is_seekable = begins_anew(content)
    if is_seekable:
        content.seek(0)
    # Whoever made chunks of his own may have no read, or mean something else by it. Of
    # text, the size is told in characters.
    is_plain = getattr(content.chunks, "__func__", None) in _PLAIN
    if is_seekable and is_plain and isinstance(content.read(0), bytes):
        return SeekableReader(content)
    reader = BodyReader(body_of(content).begin())
    reader.announced = announced_size(content)
    return reader


def announced_size(content: Any) -> int | None:
    """Return what content says of its size, in bytes; None where it does not know."""
    with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
        size = content.size
        return size if isinstance(size, int) and size >= 0 else None
    return None


@contextlib.contextmanager
def sized(reader: BodyReader) -> Iterator[BodyReader]:
    """Yield a reader of known size: if need be, of a temporary file with the content.

    No more than a chunk of it is in memory.
    """
    if reader.size is not None:
        yield reader
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(reader, file, CHUNK)
        yield SeekableReader(file)


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


# Django's class takes no type argument at run time.
class ContentOf(File):  # type: ignore[type-arg]
    """A file of another storage, which is open only while it is read.

    So any number of them can wait to be sent. Each reading begins at the start.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        super().__init__(None, name)
        self._storage, self._path = storage, name

    @property
    def size(self) -> int:
        """How many bytes its storage says that it has."""
        return self._storage.size(self._path)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Do nothing: each reading begins at the start."""
        return 0

    def chunks(self, chunk_size: int | None = None) -> Iterator[Any]:
        """Yield the content from its start, chunk by chunk."""
        with self._storage.open(self._path) as file:
            yield from file.chunks(chunk_size or CHUNK)


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
