"""Refuses names that a grid reserves: those with the marker's in them."""

from __future__ import annotations

import functools

from django.core.exceptions import SuspiciousFileOperation

from tahoestorage.backends.names import path_of
from tahoestorage.tahoe import marker


@functools.lru_cache(maxsize=1 << 14)
def grid_path(name: str) -> tuple[str, ...]:
    """Return what ``path_of`` does.

    Raises SuspiciousFileOperation also for the name that is the storage's own.
    """
    # Not kept twice.
    path = path_of.__wrapped__(name)
    refuse_marker(name, path)
    return path


def refuse_marker(name: str, path: tuple[str, ...]) -> None:
    """Raise SuspiciousFileOperation for a path with the storage's own name in it."""
    if marker.has_reserved_name(path):
        raise SuspiciousFileOperation(
            f"{name!r} has {marker.NAME!r} in it, the name by which the storage keeps "
            "directories from being empty; nothing of yours can have that name"
        )
