"""Rows held in memory in a tenth of the room that objects take."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
BLOCK = 1000
"""Rows that are packed together."""


class PackedRows(Generic[T]):
    """Rows that are added once and read in their order, as often as wanted.

    ``make`` makes one of the values that were added, which JSON must be able to hold.
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._blocks: list[bytes] = []
        self._last: list[Any] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            for values in json.loads(zlib.decompress(block)):
                yield self._make(*values)
        for values in self._last:
            yield self._make(*values)

    def add(self, *values: Any) -> None:
        """Add one at the end."""
        self._last.append(values)
        self._count += 1
        if len(self._last) >= BLOCK:
            # Most of a row is what the one before it has, too: the fastest level does.
            self._blocks.append(zlib.compress(json.dumps(self._last).encode(), 1))
            self._last = []
