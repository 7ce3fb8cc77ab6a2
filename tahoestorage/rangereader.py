"""A file in a store, read lazily and by ranges, whichever store it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    NotEnoughShares,
    StoreUnreachable,
    UnexpectedResponse,
)
from tahoestorage.parts import TO_THE_END, Fetch, Part


@dataclass(frozen=True, slots=True)
class Origin:
    """What a reader reads: by which function, and what is known of it.

    With a ``reference`` it is that file and no other, and ``size`` (bytes) is its size.
    Without one it is the file that is there at the first request: ``size`` may be that
    of one that was there before. What is ``mutable`` may have another size each time it
    is read from its start.
    """

    fetch: Fetch
    size: int | None = None
    reference: str | None = field(default=None, repr=False)
    mutable: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How much a reader asks for and holds, in bytes, and what it takes for damage."""

    sender: str
    """What errors call the store."""
    block: int
    """What is read of a body at a time."""
    skip: int
    """Up to here it is read and thrown away, sooner than asked for anew."""
    read_ahead: int
    """Asked for after a seek; each further range in a row is twice as long."""
    longest_range: int
    streams: bool = False
    """Whether one request is for all, from the start on or up to a known ``until``."""
    exact: bool = False
    """Whether a body must end where its part does. Then it need not tell its length."""
    attempts: int = 1
    """How often a block is asked for, where the store hangs up."""
    holds: bool = False
    """Whether the first block, the last and the one before are held, but of what is
    mutable."""
    hint: str = ""
    """What an error says after telling that the size is another."""


class RangeReader(io.RawIOBase):
    """A file in a store, read as it is asked for; nothing is asked before a read.

    Reading on is one response after another, of growing length. All that is read is of
    one and the same file, and what comes is counted: a body that is too short or too
    long, and a file that was replaced meanwhile, raise DamagedDownload. After a read
    that failed a seek must come before the next one, since a buffer that was lost with
    it would leave a gap.
    """

    def __init__(
        self,
        origin: Origin,
        label: str,
        policy: Policy,
        again: Callable[[], Origin | None] | None = None,
    ) -> None:
        """Read from ``origin``; ``label`` is what errors call the file.

        Where nothing is there any more, ``again`` is asked once for what the file is by
        now; it returns None where that is the same. It is read in place of the old one
        if the caller has seen neither bytes nor a size that are another file's.
        """
        self._label = label
        self._policy = policy
        self._again = again
        self._take(origin)
        self.until: int | None = None
        """Where the caller will stop, if it says so: no more is asked for."""
        self._position = 0
        self._failed = False
        # What the caller relies on: the size it was told, and whether it has bytes.
        self._said_size: int | None = None
        self._has_given = False
        self._encoding: str | None = None
        self._part: Part | None = None
        self._block = memoryview(b"")
        # Where the block begins in the file, and where the part ends, if that is known.
        self._at = 0
        self._end: int | None = 0
        self._ahead = policy.read_ahead

    def _take(self, origin: Origin) -> None:
        self._fetch = origin.fetch
        self._size = origin.size
        self._reference = origin.reference
        self._is_mutable = origin.mutable
        # Blocks that are held, each with where it begins: the first, the last, and the
        # one before that which is read. Headers and directories are read repeatedly.
        self._head = self._tail = self._before = (0, memoryview(b""))
        # What is mutable is read as it is by then.
        self._holds = self._policy.holds and not origin.mutable

    @property
    def size(self) -> int:
        """Bytes in all; the store is asked where it is not known.

        Raises what reading raises, and UnexpectedResponse where the store does not say.
        """
        if self._size is None:
            self._ask(0)
        if self._size is None:
            raise UnexpectedResponse(
                f"{self._label}: {self._policy.sender} does not say its length"
            )
        self._said_size = self._size
        return self._size

    @property
    def reference(self) -> str | None:
        """What is read, as its entry names it; None before anything was. SECRET."""
        return self._reference

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position. The size is asked for to seek from an unknown end."""
        self._checkClosed()
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self.size
        elif whence != io.SEEK_SET:
            raise ValueError(f"{self._label!r}: whence is 0, 1 or 2, and not {whence}")
        if offset < 0:
            raise ValueError(f"{self._label!r}: there is nothing before the first byte")
        self._position = offset
        self._failed = False
        return offset

    def readall(self) -> bytes:
        """Return all from the position on; the position stays where that fails."""
        self._checkClosed()
        start, found = self._position, io.BytesIO()
        try:
            while some := self._read_some():
                found.write(some)
                self._position += len(some)
        except BaseException:
            self._position = start
            raise
        return found.getvalue()

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into ``buffer``; 0 at the end."""
        self._checkClosed()
        wanted = memoryview(buffer).cast("B")
        if not wanted:
            return 0
        some = self._read_some()[: len(wanted)]
        wanted[: len(some)] = some
        self._position += len(some)
        return len(some)

    def close(self) -> None:
        """Give up the connection."""
        if not self.closed:
            self._close_part()
        super().close()

    def _read_some(self) -> memoryview:
        """Return bytes at the position, as many as are at hand; none at the end."""
        if self._failed:
            raise self._damaged("an earlier read failed; seek before reading on")
        try:
            some = self._some()
        except BaseException:
            self._failed = True
            self._close_part()
            raise
        self._has_given = self._has_given or len(some) > 0
        return some

    def _some(self) -> memoryview:
        while self._is_before_the_end():
            held = self._held()
            if held is not None:
                return held
            skip = self._position - self._at
            if 0 <= skip < len(self._block):
                return self._block[skip:]
            if self._is_on_the_way():
                self._keep_block()
                self._at += len(self._block)
                # What comes next may fail: then nothing is at hand.
                self._block = memoryview(b"")
                self._block = memoryview(self._next())
                if not self._block:
                    break
                if not self._at and self._holds:
                    self._head = 0, self._block
            elif self._is_near_the_end():
                self._read_end()
            else:
                self._ask(self._position)
        self._check_surplus()
        self._close_part()
        return memoryview(b"")

    def _is_before_the_end(self) -> bool:
        if self._size is None:
            # A part that ends where it begins says that there is no more.
            return self._part is None or self._end != self._position
        # The end of what may be another file is believed once something was read, also
        # of one that was empty.
        return self._position < self._size or self._reference is None

    def _held(self) -> memoryview | None:
        """Return bytes at the position out of a block that is held."""
        for first, block in (self._head, self._tail, self._before):
            if 0 <= self._position - first < len(block):
                return block[self._position - first :]
        return None

    def _keep_block(self) -> None:
        if self._block and self._holds:
            self._before = self._at, self._block

    def _is_on_the_way(self) -> bool:
        """Whether the part goes on to the position, and that is not far away."""
        reach = self._at + len(self._block) + self._policy.skip
        if self._end is not None:
            reach = min(reach, self._end)
        return self._part is not None and self._at <= self._position < reach

    def _is_near_the_end(self) -> bool:
        """Whether the last block is asked for, from somewhere else in the file."""
        block = self._policy.block
        if not self._holds or self.until is not None:
            return False
        if self._size is None or self._size <= block:
            return False
        return self._position >= self._size - block and self._position != self._end

    def _read_end(self) -> None:
        """Hold the last block: whoever reads the end reads what stands before it next.

        So archives are read, whose directories are at their ends.
        """
        expected = self._size or 0
        first, tail = max(0, expected - self._policy.block), b""
        # Only what comes tells for certain where the end is; another file's may be far.
        self._ask(first)
        if self._size != expected:
            return
        while self._at < expected:
            tail += self._next()
            self._at = first + len(tail)
        self._check_surplus()
        self._close_part()
        self._tail = first, memoryview(tail)

    def _next(self) -> bytes:
        """Return the next block of the part; ask again where the store hangs up.

        Nothing at the end of a body that did not tell its length.
        """
        for left in reversed(range(self._policy.attempts)):
            part, size = self._part or self._ask(self._at), self._policy.block
            if self._end is not None and not self._policy.exact:
                size = min(size, self._end - self._at)
            try:
                block = part.body.read(size)
            except StoreUnreachable:
                if not left:
                    raise
                block = b""
            if self._end is None:
                return block
            if self._at + len(block) > self._end:
                raise self._damaged("more came than the file has")
            if block:
                return block
            self._close_part()
        raise self._damaged(f"it ended at byte {self._at}")

    def _check_surplus(self) -> None:
        """Raise DamagedDownload where a body goes on that was read to its end."""
        if self._part is None or not self._policy.exact:
            return
        is_read = self._at + len(self._block) == self._end
        if is_read and self._part.body.read(self._policy.block):
            raise self._damaged("more came than the file has")

    def _ask(self, first: int) -> Part:
        """Ask for the part that begins at ``first``, in place of the one that is read.

        ``first`` is where the position is then, or where the file begins or ends.
        """
        policy = self._policy
        follows = self._part is not None and first == self._end and first > 0
        if follows:
            self._check_surplus()
        self._close_part()
        ahead = min(2 * self._ahead, policy.longest_range)
        self._ahead = ahead if follows else policy.read_ahead
        end = first + self._ahead
        if self.until is not None and first < self.until:
            end = self.until if policy.streams else min(end, self.until)
        elif policy.streams and not first:
            end = TO_THE_END + 1
        part = self._request(first, end - 1)
        try:
            self._check_size(part, first)
            if part.end is None:
                end = end if self._size is None else min(end, self._size)
            else:
                end = part.end
            if self._size is not None and end <= first < self._size:
                raise self._damaged(f"{policy.sender} has nothing at byte {first}")
        except BaseException:
            part.body.close()
            raise
        self._keep_block()
        self._part, self._at, self._block = part, first, memoryview(b"")
        self._end = self._size if end >= TO_THE_END else end
        return part

    def _request(self, first: int, last: int) -> Part:
        try:
            return self._fetch(first, last, self._reference)
        except (FileMissing, NotEnoughShares):
            if not self._renew():
                raise
        return self._fetch(first, last, self._reference)

    def _check_size(self, part: Part, first: int) -> None:
        """Take over what a part tells of the file, if it is of the same one."""
        size = part.entry.size
        if size is None and not self._policy.exact:
            raise self._damaged(f"{self._policy.sender} does not say its length")
        is_settled = self._said_size is not None or self._reference is not None
        if self._is_mutable and not first:
            is_settled = False
        if is_settled and size != self._size and None not in (size, self._size):
            raise self._damaged(
                f"{self._policy.sender} has {size} bytes of {self._size}"
                f"{self._policy.hint}"
            )
        if size is not None:
            self._size = size
        if self._reference is None:
            self._reference, self._encoding = part.entry.reference, part.encoding

    def _renew(self) -> bool:
        """Take what the file is by now, if nobody would take it for the old one.

        False where it is the same, or the caller has seen some of the old file.
        """
        again, self._again = self._again, None
        origin = None if again is None else again()
        if origin is None or (self._has_given and self._position):
            return False
        if self._said_size not in (None, origin.size):
            return False
        self._take(origin)
        return True

    def _close_part(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.body.close()

    def _damaged(self, how: str) -> DamagedDownload:
        return damaged(self._label, how)


def damaged(label: str, how: str) -> DamagedDownload:
    """Return the error for a download that is not the file ``label``."""
    return DamagedDownload(f"{label}: the download is not the file ({how}); try again")
