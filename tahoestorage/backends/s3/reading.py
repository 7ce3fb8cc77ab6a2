"""What S3 sends: its answers as entries, and the bodies that come with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tahoestorage.backends.objectreader import Part
from tahoestorage.backends.s3.errors import FAULTS, meaning
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import StoreError, StoreUnreachable

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def entry_of(answer: Mapping[str, Any], size: int | None) -> Entry:
    """Return the entry that an answer tells of; ``size`` is that of the whole."""
    modified = answer.get("LastModified")
    seconds = None if modified is None else modified.timestamp()
    return Entry(EntryKind.FILE, answer.get("ETag", ""), size, None, seconds)


def part_of(
    answer: Mapping[str, Any], first: int, what: str, place: str, *, packed: bool
) -> Part:
    """Return what GetObject answered to a range that begins at ``first``.

    ``packed`` says whether the storage packed the object itself.
    """
    body = Body(answer["Body"], what, place)
    found = _RANGE.fullmatch(answer.get("ContentRange") or "")
    # A store that knows no ranges sends all.
    begins, size = found.groups() if found else (0, answer["ContentLength"])
    if int(begins) != first:
        body.close()
        raise StoreError(f"{what}: {place} does not send the part that was asked for")
    return Part(entry_of(answer, int(size)), body, "gzip" if packed else None)


class Body:
    """The body of an answer."""

    def __init__(self, stream: Any, what: str, place: str) -> None:
        self._stream = stream
        self._what = what
        self._place = place

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        fault: Exception
        try:
            return bytes(self._stream.read(size))
        except FAULTS as error:
            fault = meaning(error, self._what, self._place)
        # Whatever else the network has comes through botocore as it is.
        except Exception as error:
            fault = StoreUnreachable(
                f"{self._what}: {self._place} hung up ({type(error).__name__}); try "
                "again"
            )
        raise fault

    def close(self) -> None:
        """Give the connection up, or back."""
        self._stream.close()
