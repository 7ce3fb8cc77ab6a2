"""Reads one link of a directory; the whole listing only if needed."""

from __future__ import annotations

import contextlib

from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    InvalidCap,
    NameIsDirectory,
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


def read_unlinkable(
    directories: Directories, path: Path, only: str | None
) -> tuple[Entry, Directory] | None:
    """Read the file at ``path`` that is to be unlinked, and in which directory.

    None if nothing is there, or, with ``only``, if it has another cap. Raises
    NameIsDirectory, and InvalidCap for a child of an unknown kind.
    """
    found = read_entry(directories, path, only)
    if found is None or only not in (None, found[0].reference):
        return None
    label, entry = "/".join(path), found[0]
    if entry.kind is EntryKind.DIRECTORY:
        raise NameIsDirectory(f"{label} is a directory, and only files are deleted")
    if entry.kind is EntryKind.UNKNOWN and not entry.leads_nowhere:
        raise InvalidCap(
            f"{label}: its cap is of a kind that is not known here; it may be a "
            "directory, and only files are deleted"
        )
    return found
