"""What Django gives a storage to save, made ready to be sent."""

from __future__ import annotations

import functools
import re
from typing import Any

from django.core.files.base import File

from tahoestorage.tahoe.uploads import UploadBody

# Django's own chunks are of 64 KiB, and sending so many costs a part of the rate.
CHUNK = 1 << 20


# What a client says goes into headers: it is believed only in its usual form.
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,127}/[\w.+-]{1,127}(;[ !-~]{0,256})?", re.ASCII)


def file_of(content: Any) -> Any:
    """Return content that has ``chunks`` as Files have; all that has ``read`` is some.

    Django's ``save`` sees to that, but not for those who call ``_save`` themselves.
    """
    return content if hasattr(content, "chunks") else File(content)


def media_type_of(content: Any) -> str | None:
    """Return the Content-Type that an upload brings along, None for none."""
    given = getattr(content, "content_type", None)
    if isinstance(given, str) and _MEDIA_TYPE.fullmatch(given):
        return given
    return None


def body_of(content: Any) -> UploadBody:
    """Return the body that sends ``content``; text is sent as UTF-8."""
    content = file_of(content)
    chunks = content.chunks
    if getattr(chunks, "__func__", None) is File.chunks:
        chunks = functools.partial(chunks, CHUNK)
    return UploadBody(chunks, repeatable=begins_anew(content))


def begins_anew(content: Any) -> bool:
    """Return whether content can be read from its start as often as one likes."""
    # Django's File has a seekable() also where there is no seek to go back with.
    try:
        return bool(content.seek and content.seekable())
    except AttributeError:
        return False
