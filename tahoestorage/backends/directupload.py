"""A direct upload: how somebody else's client sends a file to the store."""

from __future__ import annotations

from typing import NamedTuple


class DirectUpload(NamedTuple):
    """One request that uploads one file, for whoever holds it: ``url`` is signed.

    ``method`` is POST or PUT. For POST, ``fields`` are those of the form, before that
    of the file; for PUT the body is the file itself. ``headers`` are to be sent as they
    are.
    """

    method: str
    url: str
    fields: dict[str, str]
    headers: dict[str, str]
