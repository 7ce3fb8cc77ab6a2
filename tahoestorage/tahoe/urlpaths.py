"""The names of children as paths in URLs."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from tahoestorage.exceptions import GatewayError

_OF_PATHS = ("", ".", "..")


def is_addressable(name: str) -> bool:
    """Whether a child can be asked for by this name, and not by its cap alone.

    A URL's path has its dots resolved before it is sent (RFC 3986, 5.2.4): what is
    asked of such a child would be done to the directory, or to another.
    """
    return name not in _OF_PATHS


def url_path(names: Sequence[str], label: str) -> str:
    """Return the names of children as a path below a cap, each with a slash before it.

    Raises GatewayError for one that is not addressable.
    """
    if not all(map(is_addressable, names)):
        raise GatewayError(f"{label}: a name such as '..' can't be asked for")
    return "".join("/" + quote(name, safe="") for name in names)
