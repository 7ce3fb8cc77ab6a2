"""How the content of objects is encoded, and what of it this package did itself."""

from __future__ import annotations

import mimetypes
from collections.abc import Collection, Mapping
from typing import Any

PACKED = "tahoestorage-packed"
"""The user metadata that says whether the storage packed the content: yes or no."""
# How a body was framed on its way. Some keep that with the object, where it is wrong.
_FRAMING = "aws-chunked"


def encoding_in(response: Mapping[str, Any]) -> str | None:
    """Return the Content-Encoding of an object, None for content as it is.

    Without that of the request that brought it, which SeaweedFS keeps.
    """
    told = str(response.get("ContentEncoding") or "").split(",")
    found = [each.strip() for each in told]
    return ", ".join(each for each in found if each not in ("", _FRAMING)) or None


def is_packed(response: Mapping[str, Any], key: str, types: Collection[str]) -> bool:
    """Return whether the storage packed an object: by its mark, or else by its name.

    Releases before 0.2, and django-storages, packed what is of these ``types`` and
    has no encoding by its name, and made no mark.
    """
    if encoding_in(response) != "gzip":
        return False
    mark = response.get("Metadata", {}).get(PACKED)
    if mark is not None:
        return bool(mark == "yes")
    return mimetypes.guess_type(key)[1] is None and response.get("ContentType") in types


def marked(parameters: dict[str, Any], *, packed: bool) -> dict[str, Any]:
    """Return what an object is written with, and whether the storage packed it."""
    if parameters.get("ContentEncoding") != "gzip":
        return parameters
    mark = {PACKED: "yes" if packed else "no"}
    return {**parameters, "Metadata": {**parameters.get("Metadata", {}), **mark}}
