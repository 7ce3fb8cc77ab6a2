"""What S3 says of its objects, as entries and parts."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Collection, Mapping
from typing import Any

from tahoestorage.backends.objectstore import PACKED
from tahoestorage.backends.s3.errors import ERRORS, Place, meaning
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import StoreError, StoreUnreachable
from tahoestorage.parts import Part

# The framing of a request's body. Some stores wrongly keep it as the object's encoding.
_FRAMING = "aws-chunked"
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def entry_of(response: Mapping[str, Any], size: int | None) -> Entry:
    """Return the entry in a response; ``size`` is that of the whole object in bytes."""
    modified = response.get("LastModified")
    seconds = None if modified is None else modified.timestamp()
    return Entry(EntryKind.FILE, response.get("ETag", ""), size, None, seconds)


def part_of(
    response: Mapping[str, Any], first: int, label: str, place: Place, *, packed: bool
) -> Part:
    """Return the part in a response of GetObject to a range from ``first`` on.

    ``packed`` says whether the storage itself packed the object. Raises StoreError for
    another range than that.
    """
    body = S3Body(response["Body"], label, place)
    found = _RANGE.fullmatch(response.get("ContentRange") or "")
    # A store that knows no ranges sends all.
    begins, size = found.groups() if found else (0, response["ContentLength"])
    if int(begins) != first:
        body.close()
        raise StoreError(f"{label}: {place} does not send the part that was asked for")
    return Part(entry_of(response, int(size)), body, "gzip" if packed else None)


def encoding_in(response: Mapping[str, Any]) -> str | None:
    """Return the Content-Encoding of an object (RFC 9110, section 8.4); None for none.

    Without "aws-chunked", which is of the request that wrote it; SeaweedFS keeps it.
    """
    encodings = str(response.get("ContentEncoding") or "").split(",")
    found = [each.strip() for each in encodings]
    return ", ".join(each for each in found if each not in ("", _FRAMING)) or None


def is_packed(response: Mapping[str, Any], key: str, types: Collection[str]) -> bool:
    """Return whether the storage packed an object: by its metadata, else by its name.

    Releases before 0.2, and django-storages, wrote no such metadata. They packed
    contents of these media ``types`` whose names have no ending such as ".gz".
    """
    if encoding_in(response) != "gzip":
        return False
    mark = response.get("Metadata", {}).get(PACKED)
    if mark is not None:
        return bool(mark == "yes")
    return mimetypes.guess_type(key)[1] is None and response.get("ContentType") in types


def marked(parameters: dict[str, Any], *, packed: bool) -> dict[str, Any]:
    """Return the parameters of a write, with the metadata that says who packed it."""
    if parameters.get("ContentEncoding") != "gzip":
        return parameters
    mark = {PACKED: "yes" if packed else "no"}
    return {**parameters, "Metadata": {**parameters.get("Metadata", {}), **mark}}


class S3Body:
    """The body of a response of GetObject, with errors of this package."""

    def __init__(self, stream: Any, label: str, place: Place) -> None:
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
