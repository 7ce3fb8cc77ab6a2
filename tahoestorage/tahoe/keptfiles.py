"""Small files of the grid whose content the cache has: they are read without it."""

from __future__ import annotations

from tahoestorage.cache import Contents, KeptContent, Namespace
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.tahoe.caps import Cap


def kept_file(contents: Contents, cap: Cap) -> KeptContent | None:
    """Return a small immutable file that is kept, if it is."""
    if cap.size is None or cap.literal is not None:
        return None
    return contents.open(namespace_of(cap), Entry(EntryKind.FILE, cap.uri, cap.size))


def namespace_of(cap: Cap) -> Namespace:
    """Return the namespace of a file's content."""
    # Who has the cap has the content, and nobody else opens what is kept by it.
    return Namespace(b"", cap.uri.encode())
