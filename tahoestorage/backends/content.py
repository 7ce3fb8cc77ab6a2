"""What Django gives a storage to save, made ready to be sent."""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from django.core.files.base import File

from tahoestorage.exceptions import StoreError
from tahoestorage.tahoe.uploads import UploadBody

# Django's own chunks are of 64 KiB, and sending so many costs a part of the rate.
CHUNK = 1 << 20


# What a client says goes into headers: it is believed only in its usual form.
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,127}/[\w.+-]{1,127}(;[ !-~]{0,256})?", re.ASCII)


def file_of(content: Any) -> Any:
    """Return content that has ``chunks`` as Files have; all that has ``read`` is some.

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
    """Content that can be read once, and is kept in ``file`` as it is read.

    ``chunks`` begins it anew each time. It is otherwise what ``content`` is. A file
    that takes no more, on a full disk, does not stop the first reading: only a second
    one raises StoreError.
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
