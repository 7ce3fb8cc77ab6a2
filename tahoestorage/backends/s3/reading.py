"""What S3 sends: its answers as entries, and the bodies that come with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tahoestorage.backends.objectreader import Part
from tahoestorage.backends.s3.errors import ERRORS, meaning
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import StoreError, StoreUnreachable

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def entry_of(response: Mapping[str, Any], size: int | None) -> Entry:
    """Return the entry that a response tells of; ``size`` is that of the whole."""
    modified = response.get("LastModified")
    seconds = None if modified is None else modified.timestamp()
    return Entry(EntryKind.FILE, response.get("ETag", ""), size, None, seconds)


def part_of(
    response: Mapping[str, Any], first: int, label: str, place: str, *, packed: bool
) -> Part:
    """Return what GetObject answered to a range that begins at ``first``.

    ``packed`` says whether the storage packed the object itself.
    """
    body = S3Body(response["Body"], label, place)
    found = _RANGE.fullmatch(response.get("ContentRange") or "")
    # A store that knows no ranges sends all.
    begins, size = found.groups() if found else (0, response["ContentLength"])
    if int(begins) != first:
        body.close()
        raise StoreError(f"{label}: {place} does not send the part that was asked for")
    return Part(entry_of(response, int(size)), body, "gzip" if packed else None)


class S3Body:
    """The body of a response."""

    def __init__(self, stream: Any, label: str, place: str) -> None:
        self._stream = stream
        self._label = label
        self._place = place

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        failure: Exception
        try:
            return bytes(self._stream.read(size))
        except ERRORS as error:
            failure = meaning(error, self._label, self._place)
        # Whatever else the network has comes through botocore as it is.
        except Exception as error:
            failure = StoreUnreachable(
                f"{self._label}: {self._place} hung up ({type(error).__name__}); try "
                "again"
            )
        raise failure

    def close(self) -> None:
        """Give the connection up, or back."""
        self._stream.close()
