"""Media types of contents, as whoever sends these tells them (RFC 9110, 8.3.1)."""

from __future__ import annotations

import re
from typing import Any

from django.core.files.uploadedfile import UploadedFile

UNKNOWN = "application/octet-stream"
_WORD = r"[\w!#$&^.+-]{1,100}"
_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})[ \t]*(?:;([ -~]*))?", re.ASCII)
_LONGEST = 255  # characters, as rows keep


def cleaned(text: str) -> str | None:
    """Return the media type with its parameters; None where it is none.

    The type is in small letters: in it they mean the same as large ones.
    """
    found = _TYPE.fullmatch(text)
    if found is None:
        return None
    kind, parameters = found[1].lower(), (found[2] or "").strip()
    whole = f"{kind}; {parameters}" if parameters else kind
    return whole if len(whole) <= _LONGEST else None


def known(text: str) -> str:
    """Return the media type; that of unknown bytes where it is none."""
    return cleaned(text) or UNKNOWN


def of_part(file: UploadedFile[Any]) -> str:
    """Return what a form says of the file: Django keeps parameters apart."""
    told = [file.content_type or ""]
    for name, value in (file.content_type_extra or {}).items():
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", text, re.ASCII):
            text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
        told.append(f"{name}={text}")
    return "; ".join(told)
