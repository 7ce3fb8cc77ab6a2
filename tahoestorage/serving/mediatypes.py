"""What a browser may do with a file that somebody uploaded.

A type follows from the name's extension, and never from the content. What is not
listed here is saved and not shown, as a row of bytes; so are HTML, scripts and style
sheets, which hence act nowhere.
"""

from __future__ import annotations

BYTES = "application/octet-stream"

SHOWN = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".ogv": "video/ogg",
    ".webm": "video/webm",
    ".txt": "text/plain; charset=utf-8",
}
"""Types that a browser shows by itself, and that run nothing."""

EMBEDDED = {
    ".pdf": "application/pdf",
    ".svg": "image/svg+xml",
}
"""Types that may hold scripts: shown within a page, saved when they are opened."""

POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; "
    "sandbox"
)
"""The Content-Security-Policy: opened all the same, nothing in a file runs."""

PLAYER_POLICY = f"{POLICY} allow-same-origin"
"""That of audio and video: a browser's own player fetches them from their origin."""
