"""The content of files, read lazily and by ranges."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

from tahoestorage.exceptions import DamagedDownload, FileMissing, NotEnoughShares
from tahoestorage.tahoe.bodies import blocks
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway

READ_AHEAD = 1 << 18
"""Bytes asked for after a seek; each further range in a row is twice as long."""
LONGEST_RANGE = 1 << 24
# Less is read and thrown away sooner than asked for anew.
SKIP = 1 << 16


class FileReader(io.RawIOBase):
    """A file on the grid, read as it is asked for.

    From the start to the end it is one request, whatever its size; after a seek,
    ranges of growing length. Nothing is held but a block of 64 KiB. What comes is
    counted: a body that is too short or too long raises DamagedDownload.
    """

    def __init__(
        self,
        gateway: Gateway,
        cap: Cap,
        what: str,
        size: int | None = None,
        again: Callable[[], Cap | None] | None = None,
    ) -> None:
        """Read ``cap``; ``size`` is its length in bytes where the cap says none.

        Where nothing can be read by it, ``again`` is asked once for the cap that the
        file has by now.
        """
        self._again = again
        self._gateway = gateway
        self._cap = cap
        self._what = what
        self._size = cap.size if cap.size is not None else size
        self._literal = cap.literal
        self._position = 0
        self._answer: Any = None
        self._blocks: Iterator[bytes] = iter(())
        self._block = memoryview(b"")
        # Where the block begins in the file, and where the answer must end.
        self._at = 0
        self._end: int | None = 0
        self._ahead = READ_AHEAD

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    @property
    def size(self) -> int:
        """Bytes in all."""
        if self._size is None:
            self._open(0)
        return self._size or 0

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position; nothing is asked for before a read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        position = offset + (self.size if start is None else start)
        if position < 0:
            raise ValueError(f"{self._what}: there is nothing before the first byte")
        self._position = position
        return position

    def readall(self) -> bytes:
        """Return all from the position on."""
        held = bytearray()
        while some := self.read(READ_AHEAD):
            held += some
        return bytes(held)

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into ``buffer``; 0 at the end."""
        self._checkClosed()
        wanted = memoryview(buffer).cast("B")
        if not wanted:
            return 0
        if self._literal is not None:
            some = memoryview(self._literal)[self._position :][: len(wanted)]
        else:
            if self._size is not None and self._position >= self._size > 0:
                self._finish()
                return 0
            some = self._some()[: len(wanted)]
        wanted[: len(some)] = some
        self._position += len(some)
        return len(some)

    def _some(self) -> memoryview:
        """Return bytes at the position, as many as are at hand; none at the end."""
        skip = self._position - self._at
        if self._answer is None or not 0 <= skip <= len(self._block) + SKIP:
            self._open(self._position)
        while True:
            skip = self._position - self._at
            if skip < len(self._block):
                return self._block[skip:]
            self._at += len(self._block)
            block = next(self._blocks, b"")
            self._block = memoryview(block)
            end = self._at + len(block)
            if self._end is not None and end > self._end:
                raise self._damaged("more came than the file has")
            if not block:
                if self._end is not None and self._at < self._end:
                    raise self._damaged(f"it ended at byte {self._at}")
                if self._size is None or self._at >= self._size:
                    self._close_answer()
                    return self._block
                self._open(self._position)

    def _open(self, first: int) -> None:
        following = self._answer is not None and first == self._at > 0
        self._close_answer()
        self._ahead = min(2 * self._ahead, LONGEST_RANGE) if following else READ_AHEAD
        last = first + self._ahead - 1 if first else None
        try:
            answer = self._gateway.fetch(self._cap, first, last, what=self._what)
        except (FileMissing, NotEnoughShares):
            if not self._renew():
                raise
            answer = self._gateway.fetch(self._cap, first, last, what=self._what)
        with contextlib.ExitStack() as undo:
            undo.callback(answer.close)
            self._at, self._block = first, memoryview(b"")
            length = int(answer.headers.get("Content-Length", -1))
            if answer.status_code == 416:
                self._size = self._size if self._size is not None else first
                length = 0
            elif answer.status_code == 206:
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                if not total.isdigit():
                    raise self._damaged("the gateway did not say which part it sent")
                self._check_size(int(total))
            elif first:
                raise self._damaged("the gateway sent all of it for a part")
            elif length >= 0:
                self._check_size(length)
            self._end = None if length < 0 else first + length
            if first == 0 and self._size is not None:
                self._end = self._size
            self._answer = answer
            self._blocks = (
                iter(())
                if answer.status_code == 416
                else blocks(answer, self._what, self._gateway.base_url)
            )
            undo.pop_all()

    def _renew(self) -> bool:
        """Take the cap that the file has by now; False where it is the same one."""
        again, self._again = self._again, None
        cap = None if again is None or self._position else again()
        if cap is None or cap == self._cap:
            return False
        self._cap, self._size, self._literal = cap, cap.size, cap.literal
        return True

    def _check_size(self, size: int) -> None:
        if self._cap.is_mutable or self._size is None:
            self._size = size
        elif size != self._size:
            raise self._damaged(f"the gateway has {size} bytes of {self._size}")

    def _damaged(self, how: str) -> DamagedDownload:
        return DamagedDownload(
            f"{self._what}: the download is not the file ({how}); try again"
        )

    def _finish(self) -> None:
        """See that nothing follows the last byte, and give the connection back."""
        if self._answer is not None:
            if self._at + len(self._block) == self._end and next(self._blocks, b""):
                raise self._damaged("more came than the file has")
            self._close_answer()

    def _close_answer(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def close(self) -> None:
        """Give up the connection."""
        if not self.closed:
            self._close_answer()
        super().close()
