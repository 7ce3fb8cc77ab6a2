"""The bytes of a file on their way to a visitor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.http import StreamingHttpResponse

from tahoestorage.exceptions import DamagedDownload

BLOCK = 1 << 16


class BodyPart:
    """The rest of an open file, or so many bytes, of which a block is held.

    The first one is read now: after the headers there is no way to say that the store
    is away. Raises what reading does, and DamagedDownload where there is too little.
    """

    def __init__(self, file: File[Any] | IO[bytes], length: int | None) -> None:
        self._file = file
        self._left = length
        self._block = self._read()

    def _read(self) -> bytes:
        if self._left is None:
            return bytes(self._file.read(BLOCK))
        if self._left == 0:
            return b""
        block = bytes(self._file.read(min(BLOCK, self._left)))
        if not block:
            raise DamagedDownload(f"{self._file.name}: the file ends too early")
        self._left -= len(block)
        return block

    def __iter__(self) -> Iterator[bytes]:
        block, self._block = self._block, b""
        while block:
            yield block
            block = self._read()

    def close(self) -> None:
        """Give up the file."""
        self._file.close()


class Streamed(StreamingHttpResponse):
    """Sends a Part by WSGI, and by ASGI as well: block by block either way."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # A middleware may have put something else in its place.
        if self.is_async:
            async for block in self.streaming_content:  # type: ignore[union-attr]
                yield block
            return
        blocks = iter(self.streaming_content)  # type: ignore[arg-type]
        # In the request's own thread, where the file was opened.
        while (block := await sync_to_async(_following)(blocks)) is not None:
            yield block


def _following(blocks: Iterator[bytes]) -> bytes | None:
    return next(blocks, None)
