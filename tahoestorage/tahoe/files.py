"""The content of files, read lazily and by ranges."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from tahoestorage.exceptions import FileMissing, NotEnoughShares
from tahoestorage.rawfile import RawFile
from tahoestorage.tahoe.bodies import Response, length_of, part_of, require_length
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway

READ_AHEAD = 1 << 18
"""Bytes asked for after a seek; each further range in a row is twice as long."""
LONGEST_RANGE = 1 << 24
# Less is read and thrown away sooner than asked for anew.
SKIP = 1 << 16


class FileReader(RawFile):
    """A file on the grid, read as it is asked for.

    From the start to the end it is one request, whatever its size; after a seek,
    ranges of growing length. Nothing is held but a block of 64 KiB. What comes is
    counted: a body that is too short or too long raises DamagedDownload.
    """

    def __init__(
        self,
        gateway: Gateway,
        cap: Cap,
        label: str,
        size: int | None = None,
        again: Callable[[], Cap | None] | None = None,
    ) -> None:
        """Read ``cap``; ``size`` is its length in bytes where the cap says none.

        Where nothing can be read by it, ``again`` is asked once for the cap that the
        file has by now.
        """
        super().__init__(label)
        self._again = again
        self._gateway = gateway
        self._cap = cap
        # Of a mutable file it was so once.
        self._size = size if cap.size is None and not cap.is_mutable else cap.size
        self._literal = cap.literal
        self._response: Response | None = None
        self._blocks: Iterator[bytes] = iter(())
        self._block = memoryview(b"")
        # Where the block begins in the file, and where the response must end.
        self._at = 0
        self._end: int | None = 0
        self._ahead = READ_AHEAD
        # Whether the caller knows the size, or bytes, and of which cap.
        self._told: int | None = None
        self._given = False

    @property
    def size(self) -> int:
        """Bytes in all."""
        if self._size is None:
            self._open(0)
        self._told = self._size = require_length(self._size, self._label)
        return self._size

    @property
    def reference(self) -> str:
        """The cap by which it is read. SECRET."""
        return self._cap.uri

    def readall(self) -> bytes:
        """Return all from the position on; the position stays where that fails."""
        self._checkClosed()
        start, held = self._position, io.BytesIO()
        try:
            while some := self._some():
                held.write(some)
                self._position += len(some)
        except BaseException:
            self._position = start
            raise
        return held.getvalue()

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into ``buffer``; 0 at the end."""
        self._checkClosed()
        wanted = memoryview(buffer).cast("B")
        if not wanted:
            return 0
        some = self._some()[: len(wanted)]
        wanted[: len(some)] = some
        self._position += len(some)
        return len(some)

    def _some(self) -> memoryview:
        """Return bytes at the position, as many as are at hand; none at the end."""
        if self._literal is not None:
            return memoryview(self._literal)[self._position :]
        if self._failed:
            raise self._damaged("an earlier read failed; seek before reading on")
        try:
            some = self._at_hand()
        except BaseException:
            self._failed = True
            self._close_response()
            raise
        self._given = self._given or len(some) > 0
        return some

    def _at_hand(self) -> memoryview:
        if self._size is not None and self._position >= self._size:
            at = self._at + len(self._block)
            if (
                self._response is not None
                and at == self._end
                and next(self._blocks, b"")
            ):
                raise self._damaged("more came than the file has")
            self._close_response()
            return memoryview(b"")
        skip = self._position - self._at
        if self._response is None or not 0 <= skip <= len(self._block) + SKIP:
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
                    self._close_response()
                    return self._block
                self._open(self._position)

    def _open(self, first: int) -> None:
        following = self._response is not None and first == self._at > 0
        self._close_response()
        self._ahead = min(2 * self._ahead, LONGEST_RANGE) if following else READ_AHEAD
        last = first + self._ahead - 1 if first else None
        if self.until is not None and first < self.until:
            last = self.until - 1
        try:
            response = self._gateway.fetch(self._cap, first, last, label=self._label)
        except (FileMissing, NotEnoughShares):
            if not self._renew():
                raise
            response = self._gateway.fetch(self._cap, first, last, label=self._label)
        self._at, self._block = first, memoryview(b"")
        self._blocks = self._gateway.blocks(response, label=self._label)
        try:
            self._end = self._ending(response, first)
        except BaseException:
            response.close()
            raise
        self._response = response

    def _ending(self, response: Response, first: int) -> int | None:
        """Return where in the file the response must end, if it says so."""
        if response.status_code == 416:
            if self._size is not None and first < self._size:
                raise self._damaged(f"the gateway has nothing at byte {first}")
            self._blocks = iter(())
            return first
        if response.status_code == 206:
            part = part_of(response)
            if part is None or part[0] != first:
                raise self._damaged("the gateway sent another part than it was asked")
            self._check_size(part[2], first)
            return part[1] + 1
        if first:
            raise self._damaged("the gateway sent all of it for a part")
        length = length_of(response)
        if length is not None:
            self._check_size(length, first)
        return self._size

    def _check_size(self, size: int, first: int) -> None:
        # What a mutable file is from its start on is always the file.
        known = None if self._cap.is_mutable and first == 0 else self._size
        if known not in (None, size):
            raise self._damaged(f"the gateway has {size} bytes of {known}")
        self._size = size

    def _renew(self) -> bool:
        """Take the cap that the file has by now, if nobody would take it for the old.

        False where it is the same one, or the caller has seen some of the old file.
        """
        again, self._again = self._again, None
        cap = None if again is None else again()
        if cap is None or cap == self._cap:
            return False
        if (self._given and self._position) or self._told not in (None, cap.size):
            return False
        self._cap, self._size, self._literal = cap, cap.size, cap.literal
        return True

    def _close_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def close(self) -> None:
        """Give up the connection."""
        if not self.closed:
            self._close_response()
        super().close()
