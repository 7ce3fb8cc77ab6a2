"""How processes that cannot write the counters of changes make others notice them.

On a disk that it may only read, or that takes no more writes, a process can't tell
others what it changes. But it can still lock the file of counters. The lock goes with
the process, and hinders nobody: others ask whether there is one, and believe nothing
that they share for as long.
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
    """Tell others that this process only reads; return the descriptor with the lock.

    None where nobody else can have them either, or where there are no such locks.
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
    """Whether there is a process that can only read the counters, be it this one."""
    if not os.access(path, os.R_OK | os.W_OK):
        return True
    if not POSSIBLE:
        return False
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK))
    except OSError:
        return False
    return bool(struct.unpack_from("@h", found)[0] != fcntl.F_UNLCK)
