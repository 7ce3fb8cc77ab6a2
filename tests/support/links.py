"""Links on a grid as other tools make them, by the gateway's web API alone."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import requests
from django.core.files.storage import Storage

from tahoestorage.storage import TahoeStorage


def uri(storage: Storage, cap: str) -> str:
    """Return the URL of a cap at a storage's gateway."""
    assert isinstance(storage, TahoeStorage)
    return f"{storage.options.base_url}/uri/{quote(cap, safe='')}"


def link(storage: Storage, children: dict[str, Any]) -> None:
    """Add links to the root."""
    assert isinstance(storage, TahoeStorage)
    query = f"{uri(storage, storage.options.root.uri)}?t=set_children"
    requests.post(query, data=json.dumps(children), timeout=30).raise_for_status()


def link_without_time(storage: Storage, name: str, content: bytes) -> None:
    """Store a file at ``directory/file``, in a new directory, whose link has no time.

    A gateway notes no time for the links with which a directory is made.
    """
    assert isinstance(storage, TahoeStorage)
    directory, _, file = name.partition("/")
    base = f"{storage.options.base_url}/uri"
    cap = requests.put(base, data=content, timeout=30).text
    child = json.dumps({file: ["filenode", {"ro_uri": cap}]})
    made = requests.post(f"{base}?t=mkdir-with-children", data=child, timeout=30)
    made.raise_for_status()
    link(storage, {directory: ["dirnode", {"rw_uri": made.text}]})
