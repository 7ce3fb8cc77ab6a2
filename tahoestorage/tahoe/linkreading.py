"""Reads one link of a directory; the whole listing only if needed."""

from __future__ import annotations

import contextlib

from tahoestorage.entries import Entry
from tahoestorage.exceptions import (
    FileMissing,
    NotEnoughShares,
    ParentIsFile,
    UnexpectedResponse,
)
from tahoestorage.tahoe.directories import Directories, Directory, Path
from tahoestorage.tahoe.parsing import file_entry


def read_entry(
    directories: Directories, path: Path, expected: str | None
) -> tuple[Entry, Directory] | None:
    """Read what is at ``path`` now, and in which directory; None if nothing is.

    One request by the directory's cap, if that is cached, tells of a file without the
    names beside it, and not its size. Of all else the listing is read, and cached; and
    also where ``expected``, a cap, is not the file's: then what is cached is stale.
    """
    *parents, name = path
    here = directories.cached(tuple(parents), writing=True)
    if isinstance(here, Directory) and here.write is not None:
        # The directory may be another one by now, or a listing is to be cached.
        with contextlib.suppress(FileMissing, NotEnoughShares, UnexpectedResponse):
            label = "/".join(path)
            target = directories.gateway.read_link(here.best, name, label=label)
            entry = file_entry(target)
            if entry is not None and expected in (None, entry.reference):
                return entry, here
    try:
        response = directories.fetch(tuple(parents), name)
    except (FileMissing, ParentIsFile):
        return None
    child = response.child
    return None if child is None else (child.entry, response.directory)
