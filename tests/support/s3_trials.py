"""One trial of conditions for all buckets of a server, where no test looks at it.

A trial of a new bucket takes SeaweedFS a second or several, and nearly every test has a
bucket of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tahoestorage.backends.s3.conditions import Operation
from tahoestorage.backends.s3.writing import S3Writing

_ENDPOINTS: set[str] = set()
_ALIKE = "bucket-"


@contextlib.contextmanager
def honouring_alike(endpoint_url: str) -> Iterator[None]:
    """Take the buckets of that server for alike within the block."""
    _ENDPOINTS.add(endpoint_url)
    try:
        yield
    finally:
        _ENDPOINTS.discard(endpoint_url)


def bucket_prefix(*, untried: bool) -> str:
    """How the name begins of a bucket that is, or is not, tried by itself."""
    return "untried-" if untried else _ALIKE


@contextlib.contextmanager
def trials_shared() -> Iterator[None]:
    """Let the first trial by a storage do for all of equal options within the block.

    Not for those that reach a server through a proxy, which may respond otherwise.
    """
    found: dict[tuple[Any, ...], bool] = {}
    usual = S3Writing._try_out

    def try_out(
        self: S3Writing, operation: Operation, label: str, key: str, thorough: bool
    ) -> bool:
        alike = self.bucket_name.startswith(_ALIKE)
        if thorough or not alike or self.client.meta.endpoint_url not in _ENDPOINTS:
            return usual(self, operation, label, key, thorough)
        place = (self._clients, operation, str(self.write_parameters(key)))
        if place not in found:
            found[place] = usual(self, operation, label, key, thorough)
        return found[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Writing, "_try_out", try_out)
        yield
