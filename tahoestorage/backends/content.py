"""What Django gives a storage to save, made ready to be sent."""

from __future__ import annotations

import functools
from typing import Any

from django.core.files.base import File

from tahoestorage.tahoe.uploads import UploadBody

# Django's own chunks are of 64 KiB, and sending so many costs a part of the rate.
CHUNK = 1 << 20


def body_of(content: Any) -> UploadBody:
    """Return the body that sends ``content``, which has ``chunks`` as Files have."""
    chunks = content.chunks
    if getattr(chunks, "__func__", None) is File.chunks:
        chunks = functools.partial(chunks, CHUNK)
    return UploadBody(chunks, repeatable=_begins_anew(content))


def _begins_anew(content: Any) -> bool:
    # Django's File has a seekable() also where there is no seek to go back with.
    try:
        return bool(content.seek and content.seekable())
    except AttributeError:
        return False
