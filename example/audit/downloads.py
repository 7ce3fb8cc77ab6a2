"""Which responses begin a download: each is counted, or written down, once."""

from __future__ import annotations

import re

from django.http.response import HttpResponseBase

_LATER = re.compile(r"bytes[ =]0*[1-9]")


def begins(response: HttpResponseBase) -> bool:
    """Whether the response to a GET sends the first byte of a content.

    What was asked for does not tell: of a range that is none, or is meant of another
    version, the whole is sent. Where nginx sends it, the response names the range to
    nginx alone.
    """
    if response.status_code not in (200, 206):
        return False
    for_nginx = response.headers.get("X-Accel-Redirect", "").partition("?")[2]
    return not _LATER.match(response.headers.get("Content-Range", for_nginx))
