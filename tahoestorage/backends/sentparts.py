"""Parts of a file that is made of several requests, by ``begin_parts`` and so on."""

from __future__ import annotations

from dataclasses import dataclass

PART = 8 << 20
"""The usual length of a part, in bytes."""
MOST_PARTS = 10_000


@dataclass(frozen=True)
class SentPart:
    """A part that the store has. ``number`` is from 1 to ``MOST_PARTS``.

    ``etag`` is what the store calls it; ``size`` is in bytes, and ``sha256`` is its
    digest.
    """

    number: int
    size: int
    etag: str
    sha256: bytes


def part_length(size: int) -> int:
    """Return how long the parts of a file of ``size`` bytes are to be, but the last.

    It is 8 MiB, or twice that as often as it takes to need no more than
    ``MOST_PARTS``. Two parts in memory are then 16 MiB up to 78 GiB of content.
    """
    length = PART
    while length * MOST_PARTS < size:
        length *= 2
    return length
