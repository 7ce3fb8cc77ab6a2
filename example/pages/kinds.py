"""What kind a file is, by its name alone, as the content is served too.

What somebody said of it when they uploaded it decides nothing.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from objects.models import StoredObject
from tahoestorage.serving.mediatypes import SHOWN

TEXTS = {
    *(".bat", ".c", ".cfg", ".conf", ".cpp", ".css", ".csv", ".diff", ".go", ".h"),
    *(".html", ".ini", ".java", ".js", ".json", ".log", ".md", ".patch", ".py", ".rb"),
    *(".rs", ".rst", ".sh", ".sql", ".srt", ".tex", ".toml", ".ts", ".tsv", ".txt"),
    *(".vtt", ".xml", ".yaml", ".yml"),
}
"""Extensions of what is shown as text, whatever it is."""
PICTURES = {".gif", ".jpeg", ".jpg", ".png", ".webp"}
"""Extensions of what thumbnails are made of."""


def preview_of(found: StoredObject) -> str:
    """Return how a browser shows a file: image, video, audio, pdf, text; "" for not."""
    if found.current is None:
        return ""
    extension = extension_of(found)
    if extension == ".svg":
        return "image"
    if extension == ".pdf":
        return "pdf"
    kind = SHOWN.get(extension, "").partition("/")[0]
    if kind in {"image", "audio", "video"}:
        return kind
    return "text" if extension in TEXTS else ""


def has_thumbnail(found: StoredObject) -> bool:
    """Whether a thumbnail of the file is to be made."""
    return found.current is not None and extension_of(found) in PICTURES


def extension_of(found: StoredObject) -> str:
    """Return the name's last part with its dot, in small letters."""
    return PurePosixPath(found.name).suffix.lower()
