"""Parts of files, as stores send them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tahoestorage.entries import Entry

TO_THE_END = (1 << 63) - 1
"""The last byte of whatever has an end."""


class Body(Protocol):
    """What a store is sending."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""

    def close(self) -> None:
        """Give up the connection, or give it back."""


@dataclass(frozen=True, slots=True)
class Part:
    """A range of a file, as a store sends it.

    ``entry`` is that of the whole file. ``encoding`` is how the storage itself packed
    it: "gzip", or None for what is to be read as it is stored. ``end`` is where the
    body ends in the file: TO_THE_END for the file's end, None for where it was asked
    to end.
    """

    entry: Entry
    body: Body
    encoding: str | None = None
    end: int | None = None


Fetch = Callable[[int, int, str | None], Part]
"""(first, last, reference): ask for bytes ``first`` to ``last``, fewer at the end.

``last`` is TO_THE_END for the rest. With a ``reference`` it is asked for only of the
file that has it: DamagedDownload where that was replaced. An empty file is a Part too.
Raises FileMissing.
"""
