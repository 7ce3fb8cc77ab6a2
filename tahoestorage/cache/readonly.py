"""A lock that shows the others a process that cannot write the counters of change.

On a disk that it may only read, or that takes no more writes, a process can't note in
the counters what it changes. It locks the file of counters instead, for reading. While
anybody has that lock, the others believe nothing that processes share. The lock blocks
nobody, and ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

# struct flock: type, whence, start, length, pid.
_LOCK = "@hhqqi4x"
# Locks of open files, not of processes: Linux has them, and the layout above.
POSSIBLE = sys.platform == "linux" and sys.maxsize > 1 << 32
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _lock(kind: int) -> bytes:
    return struct.pack(_LOCK, kind, os.SEEK_SET, 0, 1, 0)


def announce(path: Path) -> int | None:
    """Take the lock for this process; return the descriptor that has it.

    None where the file cannot be opened, or where there are no such locks.
    """
    if not POSSIBLE:
        return None
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _lock(fcntl.F_RDLCK))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_announced(descriptor: int, path: Path) -> bool:
    """Whether a process cannot write the counters: one with the lock, or this one."""
    if not os.access(path, os.R_OK | os.W_OK):
        return True
    if not POSSIBLE:
        return False
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK))
    except OSError:
        return False
    return bool(struct.unpack_from("@h", found)[0] != fcntl.F_UNLCK)
