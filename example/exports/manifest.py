"""What an archive says of itself: ``manifest.json``, the first thing in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from typing import Any

import ijson

from config.texts import is_storable
from exports.packed import PackedRows

PATH = "manifest.json"
FORMAT = "tahoestorage-example-export"
VERSION = 1
MAX_SIZE = 96 << 20  # bytes
LINES = 1000
"""Of files, that are made at once."""
_ENTRY = ["map", "array", "map"]
_HEAD = {"format", "version", "kind", "label", "created_at", "document"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotAManifest(ValueError):
    """It is not one of ours, or says what cannot be; the message is for people."""


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file in the archive: its path there, and what it is an object of."""

    path: str
    folder: str
    name: str
    size: int
    sha256: str
    media_type: str


_FIELDS = [field.name for field in fields(ArchivedFile)]


@dataclass(frozen=True)
class Manifest:
    """The kind of what was exported, its name, and what is in the archive.

    ``document`` is the path of a JSON document in the archive, None without one.
    """

    kind: str
    label: str
    created_at: str
    document: str | None
    files: Iterable[ArchivedFile]

    def pieces(self) -> Iterator[bytes]:
        """Yield the manifest as it stands in the archive: a file a line."""
        said = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "label": self.label,
            "created_at": self.created_at,
            "document": self.document,
            "files": [],
        }
        text = json.dumps(said, ensure_ascii=False, indent=1)
        start, _, end = text.rpartition("[]")
        yield f"{start}[".encode()
        separator = "\n  "
        lines: list[str] = []
        for file in self.files:
            values = {field: getattr(file, field) for field in _FIELDS}
            lines.append(separator + json.dumps(values, ensure_ascii=False))
            separator = ",\n  "
            if len(lines) >= LINES:
                yield "".join(lines).encode()
                lines = []
        yield ("".join(lines) + f"]{end}").encode()

    def as_json(self) -> bytes:
        """Return the whole of it."""
        return b"".join(self.pieces())


def parse(content: Iterable[bytes], most: int) -> Manifest:
    """Return the manifest of these bytes, of so many files at most.

    Raises NotAManifest, and whatever the bytes raise. Little more is held than the
    files packed, whatever is in it.
    """
    reader = _Reader(most)
    parser = ijson.basic_parse_coro(_sink(reader), use_float=True)
    try:
        for piece in content:
            parser.send(piece)
        parser.close()
    except NotAManifest:
        raise
    except (ijson.JSONError, StopIteration, ValueError):
        raise NotAManifest("manifest.json is no JSON.") from None
    return reader.manifest()


@ijson.coroutine
def _sink(reader: _Reader) -> Any:
    while True:
        event, value = yield
        reader.take(event, value)


class _Reader:
    """Takes the events of the JSON: an object of texts, and of one list of objects."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: list[str] = []
        self._key = ""
        self._head: dict[str, Any] = {}
        self._entry: dict[str, Any] = {}
        self._files: PackedRows[ArchivedFile] | None = None

    def take(self, event: str, value: Any) -> None:
        if event == "map_key":
            self._key = value
        elif event.startswith("start_"):
            self._begin(event)
        elif event.startswith("end_"):
            if self._inside == _ENTRY and self._files is not None:
                self._add(self._files)
            self._inside.pop()
        elif self._inside == ["map"] and self._key in _HEAD:
            self._head[self._key] = value
        elif len(self._inside) == 2:
            raise NotAManifest("manifest.json has a file that is none.")
        elif self._inside == _ENTRY and self._key in _FIELDS:
            self._entry[self._key] = value

    def manifest(self) -> Manifest:
        self._check_head()
        said, document = self._head, self._head.get("document")
        if self._files is None or not (document is None or is_storable(document)):
            raise NotAManifest("manifest.json lacks what an export says of its files.")
        return Manifest(
            kind=_text(said, "kind", 20),
            label=_text(said, "label", 1000),
            created_at=_text(said, "created_at", 60),
            document=document,
            files=self._files,
        )

    def _begin(self, event: str) -> None:
        self._inside.append(event.removeprefix("start_"))
        if self._inside == ["map", "array"] and self._key == "files":
            self._files = PackedRows(ArchivedFile)
        elif self._inside == _ENTRY:
            self._entry = {}
        elif self._inside != ["map"]:
            self._check_head()
            raise NotAManifest("manifest.json has what no export says.")

    def _add(self, files: PackedRows[ArchivedFile]) -> None:
        if len(files) >= self._most:
            raise NotAManifest("manifest.json has more files than are taken.")
        files.add(*astuple(_entry(self._entry)))

    def _check_head(self) -> None:
        if self._head.get("format") != FORMAT:
            raise NotAManifest("It is no export of this site's kind.")
        if (version := self._head.get("version")) != VERSION:
            raise NotAManifest(
                f"It is of version {version!r:.20}; this site reads version {VERSION}."
            )


def _entry(said: dict[str, Any]) -> ArchivedFile:
    size, sha256 = said.get("size"), _text(said, "sha256", 64)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise NotAManifest("manifest.json has a file without a size.")
    if not _SHA256.fullmatch(sha256):
        raise NotAManifest("manifest.json has a file without a SHA-256.")
    return ArchivedFile(
        path=_text(said, "path", 1000),
        folder=_text(said, "folder", 1000),
        name=_text(said, "name", 1000),
        size=size,
        sha256=sha256,
        media_type=_text(said, "media_type", 255),
    )


def _text(said: dict[str, Any], name: str, most: int) -> str:
    found = said.get(name)
    if not is_storable(found) or len(found) > most:
        raise NotAManifest(f"manifest.json has no right {name}.")
    return found
