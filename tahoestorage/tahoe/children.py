"""The children of directories: as a gateway lists them, and as links to be made."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.entries import Entry, EntryKind
from tahoestorage.redaction import SecretBytes
from tahoestorage.tahoe.caps import Cap

TOKEN_KEY = "tahoestorage"  # noqa: S105 - the key, not the token


@dataclass(frozen=True, slots=True)
class Child:
    """One child in a directory's listing.

    ``write_reference`` is its write cap where the listing has one. ``token`` is the
    random token that a save of ours put into the link's metadata. Both are secrets.
    """

    name: str
    entry: Entry
    write_reference: str | None = field(repr=False)
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """The object that a cap or a path names: its kind, its caps, and its size in bytes.

    ``read`` and ``write`` are caps as text, None where the gateway gives none.
    ``size`` is None for a directory, and for a mutable file that can't be read now.
    """

    kind: EntryKind
    read: str | None = field(repr=False)
    write: str | None = field(repr=False)
    size: int | None = None


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """Where one link leads: an entry; the write cap, else the read cap; its metadata.

    For a link to a directory there are none but the kind: the gateway then lists the
    directory.
    """

    entry: Entry
    reference: str | None = field(repr=False)
    metadata: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to be made: to ``cap``, with our ``metadata``, a JSON object."""

    cap: Cap
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def with_token(cls, cap: Cap, token: str) -> Link:
        """Return a link with a random ``token`` in it, to recognise it by."""
        return cls(cap, {TOKEN_KEY: token})

    def is_seen_in(self, child: Child) -> bool:
        """Whether a child is this link: by the token, or by the cap of a directory."""
        if self.cap.is_directory:
            return child.entry.reference == self.cap.read_only.uri
        return child.token is not None and child.token == self.metadata.get(TOKEN_KEY)


def encode_children(children: Mapping[str, Link], *, timed: bool = False) -> bytes:
    """Return the body, in JSON, of a request that links ``children``.

    With ``timed`` the links get the present time, as seconds since 1970, where their
    metadata has none. A gateway
    sets the times only where it adds to a directory, not in a directory that is made
    with its children.

    Source: the web API, "Creating a New Directory", ``t=mkdir-with-children``.
    """
    now = time.time()
    times = {"tahoe": {"linkcrtime": now, "linkmotime": now}} if timed else {}
    body: dict[str, Any] = {}
    for name, link in children.items():
        cap = link.cap
        slot = "rw_uri" if cap.is_writable else "ro_uri"
        properties = {slot: cap.uri, "metadata": {**times, **link.metadata}}
        body[name] = ["dirnode" if cap.is_directory else "filenode", properties]
    return SecretBytes(json.dumps(body).encode())
