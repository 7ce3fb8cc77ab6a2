"""Names as Django gives them, made into paths below the root."""

from __future__ import annotations

import functools
import posixpath
import unicodedata

from django.core.exceptions import SuspiciousFileOperation


def normal(name: str) -> str:
    """Return ``name`` in NFC, in which the grid keeps all names."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@functools.lru_cache(maxsize=4096)
def path_of(name: str) -> tuple[str, ...]:
    """Return the names on the way to ``name``; none for the root.

    Raises SuspiciousFileOperation for a name that leads out of the storage, or
    that can't be written as UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SuspiciousFileOperation(
            f"{name!a} is not valid Unicode, and can't be a name"
        ) from None
    clean = posixpath.normpath(normal(name)) if name else "."
    if clean.startswith("/") or clean == ".." or clean.startswith("../"):
        raise SuspiciousFileOperation(f"{name!r} is outside of the storage")
    return () if clean == "." else tuple(clean.split("/"))
