"""What is put into directories: names, the caps linked by them, what links carry."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.redaction import SecretBytes
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.parsing import TOKEN_KEY, Child


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


def encode(children: Mapping[str, Link], *, timed: bool = False) -> bytes:
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
