"""The report of a search for orphans: only what stands in one may be deleted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tahoestorage.care.orphans import DAY
from tahoestorage.display import ReadableError
from tahoestorage.moving.store import Store

FORMAT = "tahoestorage-orphans-1"


class BadReport(ReadableError, ValueError):
    """A report that nothing may be deleted by, and why."""


def fingerprint(store: Store, alias: str) -> str:
    """Return what tells a store from all others; it has no secret in it."""
    kind = type(store.storage)
    identity = (store.realm(), store.base(), kind.__module__, kind.__qualname__, alias)
    return hashlib.sha256(repr(identity).encode("utf-8", "surrogatepass")).hexdigest()


def write(path: Path, names: Iterable[str], store: str, taken: float) -> None:
    """Write a report, of mode 0600, in one piece. Lines may be taken out of it.

    ``store`` is a fingerprint, ``taken`` seconds since 1970. Raises OSError, and
    FileExistsError where another file has the name.
    """
    if path.exists():
        with path.open(encoding="ascii", errors="replace") as file:
            head = _parsed(file.readline(1000))
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise FileExistsError(f"{path} is there, and is no report of this command")
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            head = {"format": FORMAT, "store": store, "taken": taken}
            file.write(f"{json.dumps(head)}\n")
            for name in names:
                file.write(f"{json.dumps(name)}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def read(path: Path, store: str, now: float) -> Iterator[str]:
    """Yield the names of a report of this store that is younger than a day.

    Raises BadReport, and OSError.
    """
    with path.open(encoding="ascii", errors="replace") as file:
        head = _parsed(file.readline())
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise BadReport("it is no report of storage_orphans")
        if head.get("store") != store:
            raise BadReport("it is of another store")
        taken = head.get("taken")
        if not isinstance(taken, int | float) or not 0 <= now - taken < DAY:
            raise BadReport("it is older than a day: make a new one, and look at it")
        for line in file:
            each = _parsed(line)
            if not isinstance(each, str):
                raise BadReport("a line of it is no name")
            yield each


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
