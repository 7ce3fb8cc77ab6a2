"""How much memory a process keeps that it needs no more."""

from __future__ import annotations

import contextlib
import ctypes

LARGE = 4 << 20  # bytes
# mallopt(3)
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_little() -> None:
    """Have the system get back what is freed, as far as glibc can do it.

    Blocks of 4 MiB and more at once: otherwise the first of them only. Later ones of
    that length it keeps, in pieces that fit no other, for each thread its own, and the
    parts of an upload took twice the memory that they need. Smaller ones are of one
    arena for all threads: each kept some 1 MiB in its own after it had read a part, and
    Python lets one at a time allocate anyway. Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_ARENA_MAX, 1)
