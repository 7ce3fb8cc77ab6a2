"""Makes the missing directories on the way to a file, before any is linked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from weakref import WeakValueDictionary

from tahoestorage import forks
from tahoestorage.cache import MISSING, EntryCache, Listing, Ticket
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import FileMissing, GatewayTimeout, ParentIsFile
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.directories import Directories, Directory, FreshListing, Path

Make = Callable[[dict[str, Link], str], Cap]
"""Makes a directory with children, linked nowhere. The text is its label in errors."""


def deepest_directory(directories: Directories, path: Path) -> tuple[Directory, int]:
    """Return the deepest directory that exists on the way to ``path``, and its depth.

    With its write cap, where the root has one. Depth 0 is the root, ``len(path)`` the
    whole path. Raises ParentIsFile where a file is in the way.
    """
    cached = directories.cached(path, writing=True)
    if isinstance(cached, Directory) and cached.write is not None:
        return cached, len(path)

    def recall() -> FreshListing | None:
        cached = directories.cached(path, writing=True)
        if isinstance(cached, Directory) and cached.write is not None:
            return FreshListing(cached, Listing(), None)
        return None

    if cached is not MISSING:
        try:
            return directories.listing(path, recall=recall).directory, len(path)
        except FileMissing:
            pass
    return walk_down(directories, path)


def walk_down(directories: Directories, path: Path) -> tuple[Directory, int]:
    """Return what ``deepest_directory`` does, asked for level by level.

    For a path of which some is known to be missing.
    """
    here = directories.root
    for length in range(len(path)):
        below = _below(directories, here, path[: length + 1])
        if below is None:
            return here, length
        here = below
    return here, len(path)


def _below(directories: Directories, parent: Directory, path: Path) -> Directory | None:
    """Return the directory at ``path``, or None if it is not in ``parent``."""
    name = path[-1]

    def recall() -> FreshListing | None:
        entry = directories.cache.entry(parent.namespace, name)
        if entry is None:
            return None
        listing = Listing()
        if isinstance(entry, Entry):
            write = directories.cache.write_reference(parent.namespace, name)
            if write is None:
                return None
            listing.add(name, entry, write)
        return FreshListing(parent, listing, None)

    response = recall() or directories.listing(path[:-1], name, recall)
    entry = response.listing.entry(name)
    if not isinstance(entry, Entry):
        return None
    if entry.kind is not EntryKind.DIRECTORY:
        raise ParentIsFile(f"{'/'.join(path)}: a file is where a directory must be")
    write = response.listing.write_reference(name)
    return Directory.of(entry.reference, write)


class Tree:
    """The missing directories on the way to files, made from the files upwards.

    ``caps`` are the write caps of the directories from ``parents[:first + 1]`` down to
    ``parents``; the files are linked in the last one. None is ever empty, and none can
    be reached before it is complete. Raises what ``make`` raises. ``outer`` are those
    that were made before, from the outermost on.
    """

    def __init__(
        self,
        parents: Path,
        first: int,
        files: Mapping[str, Link],
        make: Make,
        outer: Sequence[Cap] = (),
    ) -> None:
        self._parents = parents
        self._first = first
        self._files = files
        self.caps = [*outer]
        links = files
        for length in range(len(parents), first + len(outer), -1):
            cap = make({**marker.child(), **links}, "/".join(parents[:length]))
            self.caps.insert(len(outer), cap)
            links = {parents[length - 1]: Link(cap)}

    def keep(self, cache: EntryCache, ticket: Ticket, start: int) -> None:
        """Cache the listings of the directories from ``caps[start]`` on.

        To be called once they are linked, with a ``ticket`` from before that.
        """
        for number in range(start, len(self.caps)):
            links = self._files
            if number + 1 < len(self.caps):
                below = self._parents[self._first + number + 1]
                links = {below: Link(self.caps[number + 1])}
            listing = Listing()
            for name, link in links.items():
                cap = link.cap
                kind = EntryKind.DIRECTORY if cap.is_directory else EntryKind.FILE
                entry = Entry(kind, cap.read_only.uri, cap.size)
                listing.add(name, entry, cap.uri if cap.is_writable else None)
            made = self.caps[number]
            namespace = Directory.of(made.read_only.uri, made.uri).namespace
            cache.fill(ticket, namespace, listing)


class BuildLocks:
    """One lock for each missing directory, for the threads that would make it.

    One thread makes it, and the others then find it there. A gateway makes an RSA key
    for each directory, which takes longer than all the rest of a save.
    """

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Forget all locks: in a forked child, where the other threads are gone."""
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[tuple[int, bytes, str], threading.Lock] = (
            WeakValueDictionary()
        )

    @contextlib.contextmanager
    def lock(
        self,
        cache: EntryCache,
        directory: Directory,
        name: str,
        *,
        seconds: float,
        label: str,
    ) -> Iterator[bool]:
        """Hold the lock on ``name``, which is missing in ``directory``.

        Threads wait for each other that share a cache, which then has what the other
        one made. Yields whether the lock was free at once. Raises GatewayTimeout, with
        ``label`` in the message, after ``seconds``.
        """
        with self._guard:
            key = id(cache), directory.namespace.identity, name
            lock = self._locks.setdefault(key, threading.Lock())
        was_free = lock.acquire(blocking=False)
        if not was_free and not lock.acquire(timeout=seconds):
            raise GatewayTimeout(
                f"{label}: another thread has been making this directory for "
                f"{seconds:.0f} seconds; does the gateway respond?"
            )
        try:
            yield was_free
        finally:
            lock.release()


build_locks = BuildLocks()
