"""Names as Django gives them, in NFC, as paths below the root and in URLs."""

from __future__ import annotations

import functools
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import urljoin

from django.core.exceptions import SuspiciousFileOperation
from django.utils.encoding import filepath_to_uri


def normal(name: str) -> str:
    """Return ``name`` in NFC, in which the grid keeps all names."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_plain(name: str) -> bool:
    """Whether nothing can make a name odd: neither its Unicode form nor a last slash.

    So most names are.
    """
    return name.isascii() and not name.endswith("/")


def url_below(prefix: str, name: str | None) -> str:
    """Return the URL of ``name`` as FileSystemStorage makes it, below its base_url."""
    uri = filepath_to_uri(name)
    return urljoin(prefix, uri if uri is None else uri.lstrip("/"))


def url_name(name: str | None) -> str:
    """Return the name whose URL is asked for: slashes at its start count for nothing.

    ``{% static "/css/a.css" %}`` is common, and FileSystemStorage drops them in ``url``
    alone.
    """
    return str(name or "").lstrip("/")


def by_directory(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names by the part before their last slash."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[name.rpartition("/")[0]].append(name)
    return found


@functools.lru_cache(maxsize=1 << 14)
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
