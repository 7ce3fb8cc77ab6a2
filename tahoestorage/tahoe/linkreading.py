"""Reads one link of a directory; the listing only where the gateway can't tell.

All through the gateway that is to change the directory.
"""

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
from tahoestorage.tahoe.gateway import Gateway


def locate(
    directories: Directories, path: Path, label: str, gateway: Gateway
) -> Directory:
    """Return the directory at ``path``; one request for its cap if that is not cached.

    It is not read. Raises FileMissing, or ParentIsFile where it is a file.
    """
    base, rest = directories.deepest_cached(path)
    if not rest:
        return base
    ticket = directories.cache.ticket()
    cap = gateway.cap_at(base.best, rest, label=label)
    if not cap.is_directory:
        raise ParentIsFile(f"{'/'.join(path)} is not a directory")
    read, write = cap.read_only.uri, cap.uri if cap.is_writable else None
    root = directories.root.namespace
    directories.cache.fill_path(ticket, root, "/".join(path), read, write)
    return Directory.of(read, write)


def read_child(
    directories: Directories, directory: Directory, path: Path, gateway: Gateway
) -> Entry | None:
    """Read what is at ``path``, in this directory, now; None if nothing is.

    One request, whatever is beside it. Of a directory the entry has the kind alone.
    What the cache has of the name is dropped if it is something else.
    """
    cache, name, label = directories.cache, path[-1], "/".join(path)
    entry: Entry | None = None
    try:
        entry = gateway.read_link(directory.best, name, label=label).entry
    except FileMissing:
        pass
    except NotEnoughShares:
        # It may have been replaced: the next attempt resolves the path anew.
        directories.forget(path)
        raise
    known = cache.entry(directory.namespace, name)
    if isinstance(known, Entry) and not (
        entry is not None
        and entry.kind is known.kind
        and entry.reference in ("", known.reference)
    ):
        cache.change(directory.namespace, name).done(None)
    return entry


def read_entry(
    directories: Directories, path: Path, gateway: Gateway
) -> tuple[Entry, Directory] | None:
    """Read what is at ``path`` now, and in which directory; None if nothing is.

    Two requests, for the directory's cap and the link, or one where the cap is cached.
    Where these fail, as the cached cap may be of a directory that is gone, the listing
    is read.
    """
    parents, label = path[:-1], "/".join(path)
    try:
        with contextlib.suppress(NotEnoughShares, UnexpectedResponse):
            directory = locate(directories, parents, label, gateway)
            entry = read_child(directories, directory, path, gateway)
            return None if entry is None else (entry, directory)
        response = directories.fetch(parents, path[-1], gateway)
    except (FileMissing, ParentIsFile):
        return None
    child = response.child
    return None if child is None else (child.entry, response.directory)


def read_unlinkable(
    directories: Directories, path: Path, only: str | None, gateway: Gateway
) -> tuple[Entry, Directory] | None:
    """Read the file at ``path`` that is to be unlinked, and in which directory.

    None if nothing is there, or, with ``only``, if it has another cap. Raises
    NameIsDirectory, and InvalidCap for a child of an unknown kind.
    """
    found = read_entry(directories, path, gateway)
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
