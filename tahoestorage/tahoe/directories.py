"""Looks up paths and listings: by the cache, else by one request."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tahoestorage import metering
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
from tahoestorage.tahoe.gateways import Gateways

Path = tuple[str, ...]  # Names from the root down; empty for the root itself.
Asked = dict[Path, "Directory | None"]
Source = Gateways | Gateway | None  # Any that can do it, this one, or the first.
# Memory keeps of no path of more characters where it leads: its bytes are bounded.
LONGEST = 256


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory by its caps; ``write`` is None where there is no write cap."""

    read: Cap
    write: Cap | None
    namespace: Namespace

    @property
    def best(self) -> Cap:
        """The write cap, else the read cap; by the former listings have write caps."""
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
        """Return the directory with these caps, given as text. Raises InvalidCap."""
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
    """A directory's listing, just received, and the child that was asked for in it."""

    directory: Directory
    listing: Listing
    child: Child | None


class Directories:
    """The directories below ``root``: read from ``gateways`` and kept in ``cache``.

    What a change rests on is read from the one that makes it: see ``writers``. Safe in
    threads and forks. Requests raise a StoreError where the gateway fails.
    """

    def __init__(
        self, gateway: Gateway | Gateways, root: Cap, cache: EntryCache
    ) -> None:
        write = root.uri if root.is_writable else None
        several = gateway if isinstance(gateway, Gateways) else Gateways([gateway])
        self.gateways = several
        self.gateway = self.gateways.all[0]
        self.cache = cache
        self.root = Directory.of(root.read_only.uri, write)

    def cached(
        self, path: Path, *, writing: bool = False, expired: bool = False
    ) -> Directory | Absent | None:
        """Return the directory at ``path`` from the cache alone: no request.

        MISSING where there is no such directory, None where the cache does not have it;
        with ``writing``, also where it does not have the write cap. With ``expired``,
        entries count whose lifetime is over.
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
        """Return what ``cached`` does, without write cap, by this revalidation alone.

        Name by name: where they are in memory, nothing else is read.
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
        if here is not None and sum(map(len, path)) <= LONGEST:
            cache.keep_resolved(place, here, revalidation)
        return here

    def entry(
        self, path: Path, *, confirm: bool = False, parsed: bool = True
    ) -> Entry | None:
        """Return the entry at ``path``, or None where there is none.

        One request for the parent's listing where the cache does not have it; with
        ``confirm`` also where it has that there is none. Unless ``parsed`` is wanted,
        UNPARSED may stand for one. Raises a GatewayError where the gateway fails.
        """
        if not path:
            return Entry(EntryKind.DIRECTORY, self.root.read.uri)
        *parents, name = path
        cached = self._cached_entry(path, parsed=parsed)
        is_hit = cached is not None and not (cached is MISSING and confirm)
        metering.meter.looked_up(hit=is_hit)
        if is_hit:
            return cached if isinstance(cached, Entry) else None

        def recall() -> FreshListing | None:
            cached = self._cached_entry(path)
            if cached is None or (cached is MISSING and confirm):
                return None
            listing = Listing()
            if isinstance(cached, Entry):
                listing.add(name, cached)
            return FreshListing(self.root, listing, None)

        try:
            listing = self.listing(
                tuple(parents), name, recall, confirm=confirm
            ).listing
        except (FileMissing, ParentIsFile):
            return None
        found = listing.entry(name)
        return found if isinstance(found, Entry) else None

    def _cached_entry(
        self, path: Path, *, parsed: bool = True
    ) -> Entry | Absent | None:
        """Return the entry at ``path`` from the cache alone, MISSING, or None."""
        cache, revalidation = self.cache, self.cache.revalidate()
        place = (self.root.namespace.root, path)
        resolved = cache.resolved_entry(place, revalidation, parsed)
        if resolved is not None:
            return resolved
        parent = self._parent(path[:-1], revalidation)
        if not isinstance(parent, Directory):
            return parent
        if sum(map(len, path)) > LONGEST:
            return cache.entry(parent.namespace, path[-1], revalidation)
        above = (self.root.namespace.root, path[:-1]) if path[1:] else None
        return cache.entry_kept(place, path[-1], above, parent, revalidation, parsed)

    def expired_entry(self, path: Path) -> Entry | None:
        """Return the entry at ``path`` from the cache, expired or not: no request."""
        *parents, name = path
        parent = self.cached(tuple(parents), expired=True)
        if not isinstance(parent, Directory):
            return None
        cached = self.cache.entry(parent.namespace, name, expired=True)
        return cached if isinstance(cached, Entry) else None

    def entry_or_expired(self, path: Path) -> Entry | None:
        """Return what ``entry`` does; an expired entry while the gateway is away."""
        try:
            return self.entry(path, confirm=True)
        except (GatewayUnreachable, GatewayTimeout):
            expired = self.expired_entry(path)
            if expired is None:
                raise
            return expired

    def entries(self, path: Path) -> Iterator[tuple[str, Entry]]:
        """Return the names and entries in the directory at ``path``.

        At most one request. Raises FileMissing, or ParentIsFile where it is a file.
        """
        found: list[Iterator[tuple[str, Entry]]] = []

        def recall() -> FreshListing | None:
            cached = self.cached(path)
            if isinstance(cached, Directory):
                entries = self.cache.entries(cached.namespace)
                if entries is not None:
                    # An older worker, which knows no marker, may have kept it.
                    found.append(
                        e for e in entries if not marker.is_reserved_name(e[0])
                    )
                    return FreshListing(cached, Listing(), None)
            return None

        response = recall()
        metering.meter.looked_up(hit=response is not None)
        response = response or self.listing(path, None, recall)
        return found[0] if found else response.listing.items()

    def listing(
        self,
        path: Path,
        name: str | None = None,
        recall: Callable[[], FreshListing | None] = lambda: None,
        *,
        confirm: bool = False,
    ) -> FreshListing:
        """Return what ``fetch`` does, in one request for all threads that want it now.

        The listing has every change that this process knew of at the call. With
        ``confirm``, one without ``name`` was also requested after the call. ``child``
        may be None though the listing has the name. ``recall`` is called before a
        request, and returns the result if the cache has it by now. Raises
        GatewayTimeout where the request of another thread takes too long.
        """
        cache, gateway, label = self.cache, self.gateway, _label_of(path, name)

        def holds(flight: Flight[FreshListing], mine: Ticket) -> bool:
            response = flight.value
            if response is None:
                # A failed request does not say which directory was read last.
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
                lambda: self.fetch(path, name, self.gateways),
                label=label,
                recall=recall,
                ticket=cache.ticket,
                holds=holds,
                seconds=(1 + len(self.gateways.all)) * gateway.request_seconds,
            )
        except FlightTimeout:
            raise GatewayTimeout(
                f"{label}: another thread is asking for this directory, and the "
                f"gateway at {gateway.base_url} has not sent all of it in time"
            ) from None

    def fetch(
        self, path: Path, name: str | None = None, source: Source = None
    ) -> FreshListing:
        """Request the listing of the directory at ``path`` now, and cache it.

        From the first gateway, unless ``source`` is given. One request, by path from
        the deepest directory whose cap is cached; a second one where that leads nowhere
        any more. ``name`` is the child to return. Raises FileMissing, or ParentIsFile.
        """
        base, rest = self.deepest_cached(path)
        try:
            return self._fetch(base, path, rest, name, source)
        except NotEnoughShares:
            if base is self.root:
                raise
            # The cap may be that of a directory which is no longer there.
            self.forget(path)
            return self._fetch(self.root, path, path, name, source)

    def deepest_cached(self, path: Path) -> tuple[Directory, Path]:
        """Return the deepest directory on a path that is cached, and the rest of it."""
        for length in range(len(path), 0, -1):
            cached = self.cached(path[:length], writing=self.root.write is not None)
            if isinstance(cached, Directory) and (cached.write or not self.root.write):
                return cached, path[length:]
        return self.root, path

    def _fetch(
        self,
        base: Directory,
        path: Path,
        rest: Path,
        name: str | None,
        source: Source = None,
    ) -> FreshListing:
        label = _label_of(path, name)

        def request(gateway: Gateway) -> FreshListing:
            listing, child = Listing(), None

            def add(each: Child) -> None:
                nonlocal child
                if not marker.is_reserved_name(each.name):
                    listing.add(each.name, each.entry, each.write_reference)
                    child = each if each.name == name else child

            ticket = self.cache.ticket()
            node = gateway.list(base.best, rest, add, label=label)
            if rest and node.kind is not EntryKind.DIRECTORY:
                raise ParentIsFile(f"{'/'.join(path)} is not a directory")
            found = base if rest == () else _directory(node)
            if node.kind is not EntryKind.DIRECTORY or node.read is None or not found:
                raise UnexpectedResponse(
                    f"{label}: the gateway's response is not a directory; is it a "
                    "Tahoe-LAFS node?"
                )
            self.cache.fill(ticket, found.namespace, listing)
            if rest:
                self.cache.fill_path(
                    ticket, self.root.namespace, "/".join(path), node.read, node.write
                )
            return FreshListing(found, listing, child)

        if isinstance(source, Gateways):
            return source.ask(request)
        return request(source or self.gateway)

    def fetch_directory(
        self, directory: Directory, path: Path, name: str, source: Gateway
    ) -> FreshListing:
        """Request a directory's listing by its own cap; ``path`` is for messages."""
        return self._fetch(directory, path, (), name, source)

    def refresh(self, path: Path, asked: Asked) -> FreshListing | None:
        """Request the listings of all directories on the way to ``path``, and its own.

        So the cache has what hosts that do not share it changed before. ``asked`` has
        the directories already requested, None where there is none: they are not asked
        for again. Returns that of ``path`` if it is now. Raises a GatewayError.
        """
        here, fresh = self.root, None
        for length in range(len(path) + 1):
            at, fresh = path[:length], None
            if at not in asked:
                there = self._child(here, at) if length else here
                self.forget_if_moved(at, there)
                if there is not None:
                    fresh = self._fetch(there, at, (), None, self.gateways)
                asked[at] = there
            if (found := asked[at]) is None:
                return None
            here = found
        return fresh

    def _child(self, parent: Directory, path: Path) -> Directory | None:
        """Return the directory at ``path``; its parent's listing was just requested."""
        name = path[-1]
        entry = self.cache.entry(parent.namespace, name)
        write = self.cache.write_reference(parent.namespace, name)
        if entry is None:
            child = self._fetch(parent, path[:-1], (), name, self.gateways).child
            if child is not None:
                entry, write = child.entry, child.write_reference
        if not isinstance(entry, Entry) or entry.kind is not EntryKind.DIRECTORY:
            return None
        return Directory.of(entry.reference, write)

    def forget_if_moved(self, path: Path, there: Directory | None) -> None:
        """Forget where paths lead if by the cache ``path`` is not ``there``."""
        wanted = None if there is None else there.namespace.identity
        for cached in (self.cached(path), self._parent(path, self.cache.revalidate())):
            here = cached.namespace.identity if isinstance(cached, Directory) else None
            if cached is not None and here != wanted:
                self.cache.forget(self.root.namespace)

    def forget(self, path: Path) -> None:
        """Drop the directories on the way to ``path`` from the cache, and all below."""
        for length in range(len(path)):
            if isinstance(cached := self.cached(path[:length]), Directory):
                self.cache.forget(cached.namespace)


def _label_of(path: Path, name: str | None) -> str:
    return "/".join(path if name is None else (*path, name)) or "the root directory"


def _directory(node: Node) -> Directory | None:
    try:
        directory = Directory.of(node.read or "", node.write)
    except InvalidCap:
        return None
    return directory if directory.read.is_directory else None
