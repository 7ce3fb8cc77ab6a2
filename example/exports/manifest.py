"""What an archive says of itself: ``manifest.json``, the first thing in it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

PATH = "manifest.json"
FORMAT = "tahoestorage-example-export"
VERSION = 1
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


@dataclass(frozen=True)
class Manifest:
    """The kind of what was exported, its name, and what is in the archive.

    ``document`` is the path of a JSON document in the archive, None without one.
    """

    kind: str
    label: str
    created_at: str
    document: str | None
    files: tuple[ArchivedFile, ...]

    def as_json(self) -> bytes:
        """Return the manifest as it stands in the archive."""
        said = {"format": FORMAT, "version": VERSION} | asdict(self)
        return json.dumps(said, ensure_ascii=False, indent=1).encode()


def parse(content: bytes) -> Manifest:
    """Return the manifest that these bytes are; raises NotAManifest."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        raise NotAManifest("manifest.json is no JSON.") from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise NotAManifest("It is no export of this site's kind.")
    if said.get("version") != VERSION:
        raise NotAManifest(
            f"It is of version {said.get('version')!r:.20}; this site reads version "
            f"{VERSION}."
        )
    document, files = said.get("document"), said.get("files")
    if not (document is None or isinstance(document, str)) or not isinstance(
        files, list
    ):
        raise NotAManifest("manifest.json lacks what an export says of its files.")
    texts = (_text(said, "kind", 20), _text(said, "label", 1000))
    created = _text(said, "created_at", 60)
    return Manifest(*texts, created, document, tuple(map(_entry, files)))


def _entry(said: Any) -> ArchivedFile:
    if not isinstance(said, dict):
        raise NotAManifest("manifest.json has a file that is none.")
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
    if not isinstance(found, str) or len(found) > most:
        raise NotAManifest(f"manifest.json has no right {name}.")
    return found
