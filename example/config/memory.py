"""How much memory a process keeps that it needs no more."""

from __future__ import annotations

import contextlib
import ctypes

LARGE = 4 << 20  # bytes
_M_MMAP_THRESHOLD = -3  # mallopt(3)


def give_large_blocks_back() -> None:
    """Have blocks of 4 MiB and more given back to the system as soon as they are freed.

    Otherwise glibc does so up to the first of them only: it keeps later ones of that
    length, in pieces that fit no other, for each thread its own. The parts of an upload
    took twice the memory that they need. Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)
