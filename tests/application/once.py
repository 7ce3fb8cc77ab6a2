"""What is made once for all tests of a run, whichever worker needs it first."""

from __future__ import annotations

import atexit
import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_shared: list[Path] = []


def share(folder: Path) -> None:
    """Name the folder in which all workers of a run find what one of them made."""
    _shared[:] = [folder]


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the file or folder that ``make`` made; the others wait until it has.

    It is not to be changed, for others copy it too.
    """
    if not _shared:  # A benchmark, which shares nothing.
        share(Path(tempfile.mkdtemp()))
        atexit.register(shutil.rmtree, _shared[0], ignore_errors=True)
    path = _shared[0] / name
    with path.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_name(f"{name}.new")
            make(unfinished)
            unfinished.rename(path)
    return path
