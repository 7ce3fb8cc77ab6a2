"""The content of objects, read lazily and by ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tahoestorage.entries import Entry
from tahoestorage.exceptions import StoreUnreachable
from tahoestorage.rawfile import RawFile

READ_AHEAD = 1 << 19
"""Bytes asked for at first; each further range in a row is twice as long."""
LONGEST_RANGE = 1 << 26
# Less is read and thrown away sooner than asked for anew.
SKIP = 1 << 17
BLOCK = 1 << 18
# How often a block is asked for, where the store hangs up.
ATTEMPTS = 4


class Body(Protocol):
    """What a store is sending."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""

    def close(self) -> None:
        """Give up the connection, or give it back."""


@dataclass(frozen=True, slots=True)
class Part:
    """A range of an object, as a store sends it.

    ``entry`` is that of the whole object, ``encoding`` how the storage itself packed
    it: "gzip", or None for what is to be read as it is stored.
    """

    entry: Entry
    body: Body
    encoding: str | None = None


Fetch = Callable[[int, int, str | None], Part]
"""(first, last, reference): ask for bytes ``first`` to ``last``, fewer at the end.

With a ``reference`` only of the object that has it: DamagedDownload where that was
replaced. An empty object is a Part too. Raises FileMissing.
"""


class ObjectReader(RawFile):
    """An object, read as it is asked for: ranges of growing length, one after another.

    Nothing is held but four blocks of 256 KiB: the one that is read and the one before
    it, the first, and the last where the end was read. All that is read is of one and
    the same object, and what comes is counted: DamagedDownload where it was replaced
    meanwhile, or since a size was told that is not its own. Where a body ends too soon,
    the rest is asked for; an error after some attempts without a byte.
    """

    def __init__(self, fetch: Fetch, label: str, entry: Entry | None = None) -> None:
        """Read by ``fetch``; ``entry`` is what is known of the object, if anything.

        It may be that of an object which had the key before.
        """
        super().__init__(label)
        self._fetch = fetch
        self._size = None if entry is None else entry.size
        self._expected = None if entry is None else entry.reference
        # Whether the caller relies on that size, before anything was read.
        self._told = False
        self._reference: str | None = None
        self._encoding: str | None = None
        self._part: Part | None = None
        self._block = memoryview(b"")
        # The first block, the last one, and the one before that which is read: headers
        # and directories are read again and again. Each with where it begins.
        self._head = self._tail = self._before = (0, memoryview(b""))
        # Where the block begins in the object, and where the part ends.
        self._at = 0
        self._end = 0
        self._ahead = READ_AHEAD

    def begin(self) -> Part:
        """Ask for the start now. Raises FileMissing where there is no such object."""
        return self._ask(0)

    @property
    def size(self) -> int:
        """Bytes in all."""
        if self._size is None:
            self._ask(0)
        if self._size is None:
            raise self._damaged("the store does not say its length")
        self._told = True
        return self._size

    @property
    def expected_size(self) -> int | None:
        """What ``size`` is by all that is known now; it may turn out to be another."""
        return self._size

    @property
    def encoding(self) -> str | None:
        """How the storage packed what is read."""
        if self._reference is None:
            self._ask(0)
        return self._encoding

    @property
    def reference(self) -> str | None:
        """What is read, once something was."""
        return self._reference

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into ``buffer``; 0 at the end."""
        self._checkClosed()
        wanted = memoryview(buffer).cast("B")
        if not wanted:
            return 0
        if self._failed:
            # A buffer that was lost with the read that failed would leave a gap.
            raise self._damaged("an earlier read failed; seek before reading on")
        try:
            some = self._some()[: len(wanted)]
        except BaseException:
            self._failed = True
            self._close_part()
            raise
        wanted[: len(some)] = some
        self._position += len(some)
        return len(some)

    def _some(self) -> memoryview:
        """Return bytes at the position, as many as are at hand; none at the end."""
        while self._is_before_the_end():
            held = self._held()
            if held is not None:
                return held
            skip = self._position - self._at
            if 0 <= skip < len(self._block):
                return self._block[skip:]
            reach = min(self._end, self._at + len(self._block) + SKIP)
            if self._part is None or not skip >= 0 or self._position >= reach:
                if self._is_at_the_end():
                    self._read_end()
                else:
                    self._ask(self._position)
                continue
            if self._block:
                self._before = self._at, self._block
            self._at += len(self._block)
            # What comes next may fail: then nothing is at hand.
            self._block = memoryview(b"")
            self._block = memoryview(self._next())
            if not self._at:
                self._head = 0, self._block
        self._close_part()
        if self._reference is None:
            # It is empty by what is known of it, and no other's bytes come after that.
            self._reference = self._expected
        return memoryview(b"")

    def _is_before_the_end(self) -> bool:
        if self._size is None or self._position < self._size:
            return True
        # An end is believed once something was read, and that there is nothing at all.
        return self._reference is None and self._size > 0

    def _held(self) -> memoryview | None:
        """Return bytes at the position out of a block that is held."""
        for first, block in (self._head, self._tail, self._before):
            if 0 <= self._position - first < len(block):
                return block[self._position - first :]
        return None

    def _is_at_the_end(self) -> bool:
        """Whether the last block is asked for, from somewhere else in the object."""
        if self._size is None or self._size <= BLOCK or self.until is not None:
            return False
        return self._position >= self._size - BLOCK and self._position != self._end

    def _read_end(self) -> None:
        """Hold the last block: whoever reads the end reads what stands before it next.

        So archives are read, whose directories are at their ends.
        """
        first, tail = max(0, (self._size or 0) - BLOCK), b""
        # Only what comes tells for certain where the end is.
        self._ask(first)
        while self._at < (self._size or 0):
            tail += self._next()
            self._at = first + len(tail)
        self._close_part()
        self._tail = first, memoryview(tail)

    def _next(self) -> bytes:
        """Return the next block of the part; ask again where the store hangs up."""
        for left in reversed(range(ATTEMPTS)):
            part = self._part or self._ask(self._at)
            try:
                block = part.body.read(min(BLOCK, self._end - self._at))
            except StoreUnreachable:
                if not left:
                    raise
                block = b""
            if block:
                return block
            self._close_part()
        raise self._damaged(f"it ended at byte {self._at}")

    def _ask(self, first: int) -> Part:
        following = self._part is not None and first == self._end > 0
        self._close_part()
        self._ahead = min(2 * self._ahead, LONGEST_RANGE) if following else READ_AHEAD
        end = first + self._ahead
        if self.until is not None and first < self.until:
            end = min(end, self.until)
        part = self._fetch(first, end - 1, self._reference)
        size = part.entry.size
        if size is None:
            part.body.close()
            raise self._damaged("the store does not say its length")
        if size != self._size and (self._told or self._reference is not None):
            part.body.close()
            raise self._damaged(
                f"the store has {size} bytes of {self._size}; was it replaced? If so, "
                "open it again"
            )
        if self._reference is None:
            self._reference, self._size = part.entry.reference, size
            self._encoding = part.encoding
        if self._block:
            self._before = self._at, self._block
        self._part, self._at, self._block = part, first, memoryview(b"")
        self._end = min(end, size)
        return part

    def _close_part(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.body.close()

    def close(self) -> None:
        """Give up the connection."""
        if not self.closed:
            self._close_part()
        super().close()
