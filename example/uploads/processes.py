"""Names of processes, and whether one of this host has ended.

Linux says it in ``/proc``. Elsewhere, and of other hosts and containers, nothing is
known.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PROC = Path("/proc")
_STARTED = 19  # the field of its start, from that of the state on: proc_pid_stat(5)


def name_of(number: int) -> str:
    """Return what names a process of this host among all, also later ones of its id.

    The boot, the container's namespace of ids, the id, and when it was started; empty
    where that is not told.
    """
    where, told = _where(), _stat(number)
    return f"{where} {number} {told[_STARTED]}" if where and told else ""


def has_ended(process: str) -> bool:
    """Return whether a process is known to have ended; False where nobody can tell."""
    where, _, rest = process.rpartition(" ")
    where, _, number = where.rpartition(" ")
    if not where or where != _where():
        return False
    if told := _stat(int(number)):
        # Killed and not yet reaped by its parent, or another one of its id.
        return told[0] in {"Z", "X"} or told[_STARTED] != rest
    try:
        # What /proc hides of other users is there all the same (hidepid).
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _where() -> str:
    """Return what tells the ids of this host's processes from those of others."""
    with contextlib.suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    return ""


def _stat(number: int) -> list[str]:
    """Return what is told of a process from its state on; nothing where none is."""
    with contextlib.suppress(OSError):
        # After the name, which may have anything in it.
        told = (_PROC / str(number) / "stat").read_text().rpartition(") ")[2].split()
        if len(told) > _STARTED:
            return told
    return []
