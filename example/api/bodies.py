"""The body of a request, read by the view itself as it comes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.request import Request

from accounts import quotas
from api.problems import Problem
from objects.pace import WatchedStream, watched


def length_of(request: Request, beside: int = 0) -> int:
    """Return the announced length of the body in bytes; a chunked one is refused.

    Beside a file it may have so many bytes more.
    """
    length = request.META.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in request.META or not length.isdecimal():
        raise Problem(411, _("The body needs a Content-Length."), "length_required")
    # Python refuses to read thousands of digits.
    size = int(length[:30])
    check_size(size, limit() + beside)
    return size


def check_size(size: int, most: int) -> None:
    """Raise Problem where there are more bytes than are taken."""
    if size > most:
        raise Problem(413, _("That is more than is taken."), "too_large")


def has_body(request: Request) -> bool:
    """Whether there is a body, also one whose length is not told."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return "HTTP_TRANSFER_ENCODING" in request.META or length != "0"


def limit() -> int:
    """Return how many bytes a file may have at most."""
    return settings.UPLOAD_LIMIT or quotas.MOST_BYTES


@contextlib.contextmanager
def body_of(request: Request) -> Iterator[WatchedStream]:
    """Yield the unread body as a stream, whose sender is watched within the block."""
    stream: Any = request._request
    with watched(stream, request.META.get("gunicorn.socket")) as found:
        yield found
