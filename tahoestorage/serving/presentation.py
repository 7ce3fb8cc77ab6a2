"""How a browser is told to treat a file that somebody uploaded."""

from __future__ import annotations

import io
from pathlib import PurePosixPath

from django.http import FileResponse

PDF = "application/pdf"
# What a browser shows and never runs, by the end of its name: what this machine knows
# of types makes no difference. SVG, HTML and XML are not among them.
SHOWN = {
    ".aac": "audio/aac",
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".pdf": PDF,
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
NOTHING = "default-src 'none'; sandbox"
# A browser shows a picture or a film in a page of its own making.
ITSELF = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
)


def content_headers(
    filename: str, *, as_attachment: bool, trusted: bool
) -> dict[str, str]:
    """Return the headers that say what a file is, and what it may do.

    Only what is SHOWN is shown in a browser, anything else is a download of no type:
    nothing that was uploaded is run, or used as a script, in the site's name. Files
    that are ``trusted`` are what their names say.
    """
    # A file system may have names that are no Unicode.
    filename = filename.encode(errors="replace").decode()
    shown = SHOWN.get(PurePosixPath(filename).suffix.lower())
    as_attachment = as_attachment or (shown is None and not trusted)
    # By its name; packed files are not to be unpacked on the way.
    told = FileResponse(io.BytesIO(), as_attachment=as_attachment, filename=filename)
    headers = {"X-Content-Type-Options": "nosniff"}
    for name in ("Content-Type", "Content-Disposition"):
        if name in told:
            headers[name] = told[name]
    if trusted:
        return headers
    headers["Content-Type"] = shown or "application/octet-stream"
    headers["Referrer-Policy"] = "no-referrer"
    if as_attachment:
        headers["Content-Security-Policy"] = NOTHING
    elif shown == PDF:
        # In a sandbox some browsers show none.
        headers["Content-Security-Policy"] = ITSELF
    else:
        # Without scripts. In an origin of its own a film could not fetch itself.
        headers["Content-Security-Policy"] = f"{ITSELF}; sandbox allow-same-origin"
    return headers
