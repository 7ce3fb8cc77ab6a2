"""What is put into directories: names, the caps linked by them, what links carry."""

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
    """A name in a directory. ``token`` is what we once put into the link, if we did."""

    name: str
    entry: Entry
    write_reference: str | None = field(repr=False)
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """What a cap or a path names: its kind, its caps, and its size in bytes.

    ``size`` is None for a directory, and for a mutable file that can't be read now.
    """

    kind: EntryKind
    read: str | None = field(repr=False)
    write: str | None = field(repr=False)
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Linked:
    """Where one link leads: by the best cap that is told, and the link's metadata.

    A gateway tells neither of a link to a directory: it tells of the directory.
    """

    kind: EntryKind
    reference: str | None = field(repr=False)
    metadata: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """A link that is to be made: to ``cap``, with ``metadata`` of our own in it."""

    cap: Cap
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def with_token(cls, cap: Cap, token: str) -> Link:
        """Return a link that its maker knows again by ``token``."""
        return cls(cap, {TOKEN_KEY: token})

    def is_seen_in(self, child: Child) -> bool:
        """Whether a child is this link: by its token, or as a directory of ours."""
        if self.cap.is_directory:
            return child.entry.reference == self.cap.read_only.uri
        return child.token is not None and child.token == self.metadata.get(TOKEN_KEY)


def encode_children(children: Mapping[str, Link], *, timed: bool = False) -> bytes:
    """Return links as requests carry them.

    ``timed``: with the time of now as the links' times, for directories that are made
    with children in them. The gateway sets those only where it adds to a directory.
    """
    now = time.time()
    times = {"tahoe": {"linkcrtime": now, "linkmotime": now}} if timed else {}
    body: dict[str, Any] = {}
    for name, link in children.items():
        cap = link.cap
        slot = "rw_uri" if cap.is_writable else "ro_uri"
        properties = {slot: cap.uri, "metadata": {**link.metadata, **times}}
        body[name] = ["dirnode" if cap.is_directory else "filenode", properties]
    return SecretBytes(json.dumps(body).encode())
