"""Counts what this package does, for whoever sets a meter. Knows no Django.

Nothing is counted until ``use`` is called, as ``tahoestorage.metrics`` does.
"""

from __future__ import annotations

import re
from typing import Protocol

_VERB = re.compile(r"[?&]t=([a-z_-]{1,32})")


class Meter(Protocol):
    """Counts events. Its methods are called by many threads, and must not raise."""

    def requested(self, verb: str, status: str, seconds: float) -> None:
        """Count a request to a gateway, and the seconds until its response began.

        ``status`` is the response's, or "failed" where there was none.
        """

    def asked_store(self, store: str, verb: str, status: str, seconds: float) -> None:
        """Count a request to another store, "s3" or "gcs", as ``requested`` does.

        ``verb`` is what S3 calls the operation, or the HTTP method and "upload" or
        "download" on Google Cloud Storage. Each attempt counts.
        """

    def transferred(self, direction: str, count: int) -> None:
        """Count bytes of bodies, "sent" or "received"."""

    def looked_up(self, *, hit: bool) -> None:
        """Count a look-up in a cache; a hit needed no request to the store."""

    def read_content(self, *, hit: bool) -> None:
        """Count a read of a small file's start; a hit needed no request for it."""

    def dropped_fill(self) -> None:
        """Count a response that was not kept, for there was a change meanwhile."""


class _Nothing:
    """Counts nothing."""

    def requested(self, verb: str, status: str, seconds: float) -> None:
        pass

    def asked_store(self, store: str, verb: str, status: str, seconds: float) -> None:
        pass

    def transferred(self, direction: str, count: int) -> None:
        pass

    def looked_up(self, *, hit: bool) -> None:
        pass

    def read_content(self, *, hit: bool) -> None:
        pass

    def dropped_fill(self) -> None:
        pass


meter: Meter = _Nothing()
"""What counts in this process; to be looked up at each use."""
is_used = False


def use(new: Meter) -> None:
    """Count by this one from now on, in this process and those that it forks."""
    global meter, is_used
    meter, is_used = new, True


def verb_of(method: str, shown: str) -> str:
    """Return what a request does, without what it does it to: "POST t=set_children"."""
    found = _VERB.search(shown)
    return method if found is None else f"{method} t={found[1]}"
