"""The headers that say what a file is, and what a browser may do with it."""

from __future__ import annotations

import io
import re
from pathlib import PurePosixPath

from django.http import FileResponse

from tahoestorage.serving.mediatypes import (
    BYTES,
    EMBEDDED,
    PLAYER_POLICY,
    POLICY,
    SHOWN,
)

# Of these one ends a header, or a line where headers are shown.
_NOT_IN_HEADERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def content_headers(
    filename: str, *, as_attachment: bool, trusted: bool
) -> dict[str, str]:
    """Return the headers by which an uploaded file never runs in the site's name.

    These are Content-Type, Content-Disposition (RFC 6266), X-Content-Type-Options,
    Referrer-Policy and Content-Security-Policy. Types in ``mediatypes.SHOWN`` are shown
    in a browser unless ``as_attachment``, anything else is a download. ``trusted``
    files have the type of their name, and no policy. Raises nothing: any ``filename``
    makes headers that can be sent, also by a store that gets them in a signed URL.
    """
    # A file system may have names that are no Unicode.
    filename = filename.encode(errors="replace").decode()
    filename = _NOT_IN_HEADERS.sub("_", filename)
    extension = PurePosixPath(filename).suffix.lower()
    shown = SHOWN.get(extension)
    as_attachment = as_attachment or (shown is None and not trusted)
    # By its name; packed files are not to be unpacked on the way.
    response = FileResponse(
        io.BytesIO(), as_attachment=as_attachment, filename=filename
    )
    headers = {"X-Content-Type-Options": "nosniff"}
    for name in ("Content-Type", "Content-Disposition"):
        if name in response:
            headers[name] = response[name]
    if trusted:
        return headers
    content_type = shown or EMBEDDED.get(extension, BYTES)
    headers["Content-Type"] = content_type
    headers["Referrer-Policy"] = "no-referrer"
    is_played = content_type.startswith(("audio/", "video/"))
    headers["Content-Security-Policy"] = PLAYER_POLICY if is_played else POLICY
    return headers
