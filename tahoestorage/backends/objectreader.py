"""The content of objects, read lazily and by ranges."""

from __future__ import annotations

from tahoestorage.entries import Entry
from tahoestorage.parts import Fetch, Part
from tahoestorage.rangereader import Origin, Policy, RangeReader

READ_AHEAD = 1 << 19
"""Bytes asked for at first; each further range in a row is twice as long."""
BLOCK = 1 << 18
POLICY = Policy(
    sender="the store",
    block=BLOCK,
    skip=1 << 17,
    read_ahead=READ_AHEAD,
    longest_range=1 << 26,
    attempts=4,
    holds=True,
    hint="; was it replaced? If so, open it again",
)


class ObjectReader(RangeReader):
    """An object, read as it is asked for: ranges of growing length, one after another.

    Four blocks of 256 KiB are held at most: the one that is read and the one before it,
    the first, and the last where the end was read. Where a body ends too soon, the rest
    is asked for; an error after four attempts without a byte. DamagedDownload where the
    object was replaced while it was read, or since a size was told that is not its own.
    """

    def __init__(self, fetch: Fetch, label: str, entry: Entry | None = None) -> None:
        """Read by ``fetch``; ``entry`` is what is known of the object, if anything.

        It may be that of an object which had the key before.
        """
        size = None if entry is None else entry.size
        super().__init__(Origin(fetch, size), label, POLICY)

    def begin(self) -> Part:
        """Ask for the start now. Raises FileMissing where there is no such object."""
        return self._ask(0)

    @property
    def expected_size(self) -> int | None:
        """What ``size`` is by all that is known now; it may turn out to be another."""
        return self._size

    @property
    def encoding(self) -> str | None:
        """How the storage packed what is read; the store is asked if need be."""
        if self._reference is None:
            self._ask(0)
        return self._encoding
