"""What Google Cloud Storage says of its objects, as entries and bodies."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tahoestorage.backends.gcs.errors import broken
from tahoestorage.entries import Entry, EntryKind

FIELDS = "name,size,generation,crc32c,md5Hash,contentEncoding,timeCreated,updated"
_HASH = re.compile(r"\b(crc32c|md5)=([A-Za-z0-9+/]+=*)")
_TOTAL = re.compile(r"bytes .*/([0-9]+)")


def entry_of(blob: Any) -> Entry:
    """Return the entry of an object whose properties are loaded."""
    reference = _reference(
        blob.generation, blob.crc32c, blob.md5_hash, blob.content_encoding
    )
    created, modified = _seconds(blob, "timeCreated"), _seconds(blob, "updated")
    # Google's testbench says nothing of the size of an empty object.
    return Entry(EntryKind.FILE, reference, int(blob.size or 0), created, modified)


def entry_in(headers: Mapping[str, str]) -> Entry | None:
    """Return the entry of an object from the headers of a download.

    None where they tell too little. The entry has no times: Last-Modified (RFC 9110,
    section 8.8.2) has whole seconds only, and is not the store's own time.
    """
    generation, size = headers.get("x-goog-generation"), size_in(headers)
    if generation is None or size is None:
        return None
    hashes = dict(_HASH.findall(headers.get("x-goog-hash", "")))
    encoding = encoding_in(headers)
    reference = _reference(
        generation, hashes.get("crc32c"), hashes.get("md5"), encoding
    )
    return Entry(EntryKind.FILE, reference, size)


def size_in(headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole object in bytes; None where it is not told."""
    total = _TOTAL.match(headers.get("content-range", ""))
    if total:
        return int(total[1])
    size = headers.get("x-goog-stored-content-length", headers.get("content-length"))
    return None if size is None else int(size)


def encoding_in(headers: Mapping[str, str]) -> str | None:
    """Return the Content-Encoding of an object, None for none."""
    encoding = headers.get("content-encoding")
    encoding = headers.get("x-goog-stored-content-encoding", encoding)
    return None if encoding in ("", "identity") else encoding


def encoding_of(entry: Entry) -> str | None:
    """Return the Content-Encoding in an entry's reference, None for none."""
    return _parts(entry.reference).get("encoding")


def _reference(
    generation: object, crc32c: str | None, md5: str | None, encoding: str | None
) -> str:
    parts = {"generation": generation, "crc32c": crc32c, "md5": md5}
    if encoding:
        parts["encoding"] = encoding
    return " ".join(f"{key}={value}" for key, value in parts.items() if value)


def _parts(reference: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in reference.split(" "))
    return {key: value for key, _, value in pairs}


def generation_in(reference: str | None) -> int | None:
    """Return the generation in a reference; None where it has none."""
    generation = _parts(reference or "").get("generation")
    return None if generation is None else int(generation)


def stored_md5(entry: Entry) -> bytes | None:
    """Return the MD5 of an object as it is stored; None where Google tells none."""
    value = _parts(entry.reference).get("md5")
    return base64.b64decode(value) if value else None


def content_hashes(entry: Entry) -> dict[str, bytes]:
    """Return the digests of a file's content, by algorithm.

    ``crc32c`` (4 bytes, big-endian), and ``md5`` but for composed objects. Empty for an
    object with a Content-Encoding: the store's digests are of the packed bytes.
    """
    parts = _parts(entry.reference)
    if "encoding" in parts:
        return {}
    cached = ((name, parts.get(name)) for name in ("crc32c", "md5"))
    return {name: base64.b64decode(value) for name, value in cached if value}


def _seconds(blob: Any, which: str) -> float | None:
    # Google's library raises ValueError for a time of another zone than UTC, which an
    # emulator (fake-gcs-server) sends where the host's own is another.
    text = blob._properties.get(which)
    return None if text is None else datetime.fromisoformat(text).timestamp()


class GCSBody:
    """The body of a download: the bytes as they are stored."""

    def __init__(self, response: Any, label: str) -> None:
        self._response = response
        self._label = label

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        try:
            # Not unpacked: ranges and sizes are those of what is stored.
            some: bytes = self._response.raw.read(size, decode_content=False)
        except Exception as error:  # What it is depends on where it broke.
            failure = broken(error, self._label)
        else:
            return some
        raise failure

    def close(self) -> None:
        """Give up the connection, or give it back."""
        self._response.close()
