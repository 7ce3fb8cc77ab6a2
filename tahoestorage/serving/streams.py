"""The body of a response, streamed from an open file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.http import StreamingHttpResponse

from tahoestorage.exceptions import DamagedDownload

BLOCK = 1 << 16


class BodyPart:
    """The next ``length`` bytes of an open file, in blocks; all the rest for None.

    The first block is read when it is made: a store that is away raises before the
    headers are sent. Raises DamagedDownload where the file ends too early, and what
    reading raises.
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
        """Close the file."""
        self._file.close()


class Streamed(StreamingHttpResponse):
    """A response that sends a BodyPart block by block, by WSGI and by ASGI."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # A middleware may have put something else in its place.
        if self.is_async:
            # Where the response is asynchronous, so is its content.
            async for block in self.streaming_content:  # type: ignore[union-attr]
                yield block
            return
        # And where it is not, its content is not.
        blocks = iter(self.streaming_content)  # type: ignore[arg-type]
        # In the request's own thread, where the file was opened.
        while (block := await sync_to_async(_following)(blocks)) is not None:
            yield block


def _following(blocks: Iterator[bytes]) -> bytes | None:
    return next(blocks, None)
