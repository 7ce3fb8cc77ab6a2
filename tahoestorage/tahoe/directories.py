"""From paths to entries, through the cache; requests only for what it can't tell."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from tahoestorage.cache import (
    MISSING,
    Absent,
    EntryCache,
    Flight,
    FlightTimeout,
    Listing,
    Namespace,
    Revalidation,
    Ticket,
)
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    GatewayUnreachable,
    InvalidCap,
    NotEnoughShares,
    ParentIsFile,
    ReadOnly,
    StoreError,
    UnexpectedResponse,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Node
from tahoestorage.tahoe.gateway import Gateway

Path = tuple[str, ...]
"""Names from the root down; empty for the root itself."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory: ``read`` reads it, ``write`` writes it where we may."""

    read: Cap
    write: Cap | None
    namespace: Namespace

    @property
    def best(self) -> Cap:
        """The cap that can do most: what it answers has write caps in it too."""
        return self.write or self.read

    def writable(self, label: str) -> Cap:
        """Return the write cap. Raises ReadOnly where we have none."""
        if not self.read.is_mutable:
            raise ReadOnly(
                f"{label} is an immutable directory, as `tahoe backup` makes them; "
                "nothing is saved or deleted in it"
            )
        if self.write is None:
            raise ReadOnly(
                f"{label} is read-only: its cap, or the root cap, is a read cap, and "
                "files are saved through write caps only"
            )
        return self.write

    @staticmethod
    @functools.lru_cache(maxsize=1024)
    def of(read: str, write: str | None) -> Directory:
        """Return the directory with these caps, as texts."""
        read_cap = Cap.parse(read).read_only
        write_cap = Cap.parse(write) if write is not None else None
        if write_cap is not None and not write_cap.is_writable:
            write_cap = None
        # Without the hints that may follow the keys, in which texts of one cap differ.
        read_secret = ":".join(read_cap.uri.split(":")[:4]).encode()
        write_secret = None
        if write_cap is not None:
            write_secret = ":".join(write_cap.uri.split(":")[:4]).encode()
        namespace = Namespace(read_cap.storage_index, read_secret, write_secret)
        return Directory(read_cap, write_cap, namespace)


@dataclass(frozen=True, slots=True)
class FreshListing:
    """What a gateway has just said of a directory, and of the name asked for in it."""

    directory: Directory
    listing: Listing
    child: Child | None


class Directories:
    """The directories below ``root``, asked from ``gateway`` and kept in ``cache``."""

    def __init__(self, gateway: Gateway, root: Cap, cache: EntryCache) -> None:
        write = root.uri if root.is_writable else None
        self.gateway = gateway
        self.cache = cache
        self.root = Directory.of(root.read_only.uri, write)

    def cached(
        self, path: Path, *, writing: bool = False, expired: bool = False
    ) -> Directory | Absent | None:
        """Return the directory at ``path`` from the cache alone.

        MISSING where no directory of that name is there, None where that is not
        known; with ``writing``, also where its write cap is not known.
        """
        here = self.root
        if not path:
            return here
        joined = "/".join(path)
        cache = self.cache
        read = cache.path(here.namespace, joined, expired=expired)
        if read is not None:
            write = (
                cache.path_write_reference(here.namespace, joined) if writing else None
            )
            return Directory.of(read, write)
        for name in path:
            entry = cache.entry(here.namespace, name, expired=expired)
            if not isinstance(entry, Entry):
                return entry
            if entry.kind is not EntryKind.DIRECTORY:
                return MISSING
            write = cache.write_reference(here.namespace, name) if writing else None
            here = Directory.of(entry.reference, write)
        return here

    def _parent(
        self, path: Path, revalidation: Revalidation | None
    ) -> Directory | Absent | None:
        """Return what ``cached`` does, to read, with no more than this revalidation.

        By the names on the way: where they are in memory nothing else is asked for.
        """
        here: Directory | Absent | None = self.root
        if not path:
            return here
        cache = self.cache
        place = (self.root.namespace.root, path)
        found = cache.resolved(place, revalidation)
        if found is MISSING or isinstance(found, Directory):
            return found
        for name in path:
            if not isinstance(here, Directory):
                break
            entry = cache.entry(here.namespace, name, revalidation)
            if isinstance(entry, Entry):
                is_directory = entry.kind is EntryKind.DIRECTORY
                here = Directory.of(entry.reference, None) if is_directory else MISSING
            else:
                here = entry
        if here is None:
            read = cache.path(self.root.namespace, "/".join(path), revalidation)
            here = None if read is None else Directory.of(read, None)
        if here is not None:
            cache.keep_resolved(place, here, revalidation)
        return here

    def entry(self, path: Path, *, confirm: bool = False) -> Entry | None:
        """Return the entry at ``path``, or None where there is none.

        Asks for the parent's listing where the cache does not know; with ``confirm``
        also where it says that there is none. Raises GatewayError where the gateway
        can't tell.
        """
        if not path:
            return Entry(EntryKind.DIRECTORY, self.root.read.uri)
        *parents, name = path
        cached = self._cached_entry(path)
        if isinstance(cached, Entry):
            return cached
        if cached is MISSING and not confirm:
            return None

        def recall() -> FreshListing | None:
            cached = self._cached_entry(path)
            if cached is None or (cached is MISSING and confirm):
                return None
            listing = Listing()
            if isinstance(cached, Entry):
                listing.add(name, cached)
            return FreshListing(self.root, listing, None)

        try:
            listing = self.look(tuple(parents), name, recall, confirm=confirm).listing
        except (FileMissing, ParentIsFile):
            return None
        found = listing.entry(name)
        return found if isinstance(found, Entry) else None

    def _cached_entry(self, path: Path) -> Entry | Absent | None:
        """Return the entry at ``path`` from the cache alone, MISSING, or None."""
        revalidation = self.cache.revalidate()
        parent = self._parent(path[:-1], revalidation)
        if isinstance(parent, Directory):
            return self.cache.entry(parent.namespace, path[-1], revalidation)
        return parent

    def expired_entry(self, path: Path) -> Entry | None:
        """Return what was known of ``path``, for when the store is away."""
        *parents, name = path
        parent = self.cached(tuple(parents), expired=True)
        if not isinstance(parent, Directory):
            return None
        cached = self.cache.entry(parent.namespace, name, expired=True)
        return cached if isinstance(cached, Entry) else None

    def entry_or_expired(self, path: Path) -> Entry | None:
        """Return what ``entry`` does; while the store is away, an expired one too."""
        try:
            return self.entry(path, confirm=True)
        except (GatewayUnreachable, GatewayTimeout):
            expired = self.expired_entry(path)
            if expired is None:
                raise
            return expired

    def entries(self, path: Path) -> list[tuple[str, Entry]]:
        """Return all that is in the directory at ``path``.

        Raises FileMissing, or ParentIsFile where it is a file.
        """
        found: list[list[tuple[str, Entry]]] = []

        def recall() -> FreshListing | None:
            cached = self.cached(path)
            if isinstance(cached, Directory):
                entries = self.cache.entries(cached.namespace)
                if entries is not None:
                    # An older worker, which knows no marker, may have kept it.
                    found.append([e for e in entries if not marker.is_ours(e[0])])
                    return FreshListing(cached, Listing(), None)
            return None

        response = recall() or self.look(path, None, recall)
        return found[0] if found else list(response.listing.items())

    def look(
        self,
        path: Path,
        name: str | None = None,
        recall: Callable[[], FreshListing | None] = lambda: None,
        *,
        confirm: bool = False,
    ) -> FreshListing:
        """Return what ``ask`` does, in one request for all threads that want it now.

        It tells of every change that this process knew of when it came here. With
        ``confirm`` it was asked for after that if it says that ``name`` is not there.
        Of a child only the listing tells. ``recall`` returns what became known just
        now, if that is enough. Raises GatewayTimeout where the request of another
        thread takes longer than one of this may.
        """
        cache, gateway = self.cache, self.gateway
        label = _called(path, name)

        def holds(flight: Flight[FreshListing], mine: Ticket) -> bool:
            response = flight.value
            if response is None:
                # No gateway tells where a directory that is not there would be.
                return isinstance(flight.error, StoreError) or (
                    not confirm and cache.unchanged(flight.ticket, mine, None)
                )
            if confirm and name is not None and response.listing.entry(name) is MISSING:
                return False
            namespace = response.directory.namespace
            return cache.unchanged(flight.ticket, mine, namespace)

        try:
            return cache.single_flight.share(
                (gateway.base_url, self.root.namespace.root, self.root.write, path),
                lambda: self.ask(path, name),
                label=label,
                recall=recall,
                ticket=cache.ticket,
                holds=holds,
                seconds=2 * gateway.longest,
            )
        except FlightTimeout:
            raise GatewayTimeout(
                f"{label}: another thread is asking for this directory, and the "
                f"gateway at {gateway.base_url} has not told all of it in time"
            ) from None

    def ask(self, path: Path, name: str | None = None) -> FreshListing:
        """Ask for the directory at ``path`` now, and keep the response.

        One request, by path from the deepest directory whose cap is known. Raises
        FileMissing, or ParentIsFile where it is a file.
        """
        base, rest = self._deepest(path)
        try:
            return self._ask(base, path, rest, name)
        except NotEnoughShares:
            if base is self.root:
                raise
            # The cap may be that of a directory which is no longer there.
            self.forget(path)
            return self._ask(self.root, path, path, name)

    def _deepest(self, path: Path) -> tuple[Directory, Path]:
        for length in range(len(path), 0, -1):
            cached = self.cached(path[:length], writing=self.root.write is not None)
            if isinstance(cached, Directory) and (cached.write or not self.root.write):
                return cached, path[length:]
        return self.root, path

    def _ask(
        self, base: Directory, path: Path, rest: Path, name: str | None
    ) -> FreshListing:
        listing = Listing()
        child: Child | None = None

        def add(each: Child) -> None:
            nonlocal child
            if marker.is_ours(each.name):
                return
            listing.add(each.name, each.entry, each.write_reference)
            if each.name == name:
                child = each

        label = _called(path, name)
        ticket = self.cache.ticket()
        node = self.gateway.list(base.best, rest, add, label=label)
        if rest and node.kind is not EntryKind.DIRECTORY:
            raise ParentIsFile(f"{'/'.join(path)} is not a directory")
        directory = base if rest == () else _directory(node)
        if node.kind is not EntryKind.DIRECTORY or node.read is None or not directory:
            raise UnexpectedResponse(
                f"{label}: the gateway does not answer of a directory; is it a "
                "Tahoe-LAFS node?"
            )
        self.cache.fill(ticket, directory.namespace, listing)
        if rest:
            self.cache.fill_path(
                ticket, self.root.namespace, "/".join(path), node.read, node.write
            )
        return FreshListing(directory, listing, child)

    def ask_directory(
        self, directory: Directory, path: Path, name: str
    ) -> FreshListing:
        """Ask for a directory by its own cap. ``path`` is what errors call it."""
        return self._ask(directory, path, (), name)

    def refresh(self, path: Path, asked: dict[Path, Directory | None]) -> None:
        """Ask for the directories on the way to ``path``, and for it, from the root on.

        So all is seen that others, who share no cache with us, have changed before.
        ``asked`` has those that were asked for, which are not asked for again, and is
        given the others; None where there is none. Raises GatewayError.
        """
        here = self.root
        for length in range(len(path) + 1):
            at = path[:length]
            if at not in asked:
                there = self._child(here, at) if length else here
                self._correct(at, there)
                if there is not None:
                    self._ask(there, at, (), None)
                asked[at] = there
            found = asked[at]
            if found is None:
                return
            here = found

    def _child(self, parent: Directory, path: Path) -> Directory | None:
        """Return the directory at ``path``, of whose parent the cache was just told."""
        *before, name = path
        entry = self.cache.entry(parent.namespace, name)
        write = self.cache.write_reference(parent.namespace, name)
        if entry is None:
            child = self._ask(parent, tuple(before), (), name).child
            if child is not None:
                entry, write = child.entry, child.write_reference
        if not isinstance(entry, Entry) or entry.kind is not EntryKind.DIRECTORY:
            return None
        return Directory.of(entry.reference, write)

    def _correct(self, path: Path, there: Directory | None) -> None:
        """Forget where paths lead, if another directory than ``there`` was known."""
        wanted = None if there is None else there.namespace.identity
        for cached in (self.cached(path), self._parent(path, self.cache.revalidate())):
            here = cached.namespace.identity if isinstance(cached, Directory) else None
            if cached is not None and here != wanted:
                self.cache.forget(self.root.namespace)

    def forget(self, path: Path) -> None:
        """Forget the directories on the way to ``path``, and what leads below them."""
        for length in range(len(path)):
            if isinstance(cached := self.cached(path[:length]), Directory):
                self.cache.forget(cached.namespace)


def _called(path: Path, name: str | None) -> str:
    return "/".join(path if name is None else (*path, name)) or "the root directory"


def _directory(node: Node) -> Directory | None:
    try:
        directory = Directory.of(node.read or "", node.write)
    except InvalidCap:
        return None
    return directory if directory.read.is_directory else None
