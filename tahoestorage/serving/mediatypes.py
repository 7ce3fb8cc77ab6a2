"""Media types, and what a browser may do with an uploaded file of each.

The type follows from the name's extension, never from the content. What is not listed
here is a download of type application/octet-stream: so HTML, scripts and style sheets
that somebody uploaded are never run.
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
"""The Content-Security-Policy of uploads: what is opened all the same runs nothing."""

PLAYER_POLICY = f"{POLICY} allow-same-origin"
"""The policy of audio and video, which a browser's player fetches from their origin."""
