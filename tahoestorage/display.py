"""Names, errors and sizes as a person may see them: no secrets, safe to print."""

from __future__ import annotations

import math

from django.core.exceptions import ImproperlyConfigured

from tahoestorage.exceptions import TahoeStorageError, printable
from tahoestorage.redaction import redact

LISTED = 10_000
"""How many names of one kind a report keeps; the others are only counted."""


class ReadableError(Exception):
    """An error that is no TahoeStorageError, and has a text for people all the same."""


# The texts of these are written for people; of others the class says most.
_READABLE = (OSError, TahoeStorageError, ReadableError, ImproperlyConfigured)


def reason(error: Exception) -> str:
    """Return the text of an error in one line, without caps or other secrets."""
    text = str(getattr(error, "strerror", None) or error)
    if not text or not isinstance(error, _READABLE):
        text = f"{type(error).__name__} {text}".strip()
    return redact(printable(" ".join(text.split())))


def shown(name: str) -> str:
    """Return a name, quoted and safe for a terminal, without caps."""
    return redact(repr(name))


def shown_bytes(count: float) -> str:
    """Return a number of bytes in a unit for people, such as 1.5 MiB."""
    if count < 1024:
        return f"{count:.0f} bytes"
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:,.1f} {'KMGT'[power - 1]}iB"
