"""The cache that stores use: entries, listings, paths and texts, each for a time."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import ref

from tahoestorage import metering
from tahoestorage.cache.changes import Change, ManyChanges
from tahoestorage.cache.contents import Contents
from tahoestorage.cache.fillings import keep_listing
from tahoestorage.cache.keptentries import HasNamespace, KeptEntry
from tahoestorage.cache.localtiers import LocalTiers
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.memory import CachedPage
from tahoestorage.cache.pages import (
    MISSING,
    PAGE_ENTRIES,
    UNPARSED,
    Absent,
    Listing,
    Page,
    bucket,
    page_number,
)
from tahoestorage.cache.revalidation import Latest, Places, Revalidation
from tahoestorage.cache.sealing import Namespace, page_key, path_key, text_key_of
from tahoestorage.cache.singleflight import SingleFlight
from tahoestorage.cache.tiers import Ticket, Tiers, is_fresh
from tahoestorage.entries import Entry, EntryKind


class EntryCache:
    """What is known of directories: their entries, and where paths lead.

    A listing is cached whole, so that a name that is not on it is known to be missing.
    Two things end what is known: it *expires* ``lifetime`` seconds after the store was
    asked, and it is *stale* once the directory was changed. Expired entries may serve
    while the store is away, stale ones never.

    ``directory`` is where pages are kept on disk (None: only in memory), within
    ``size_limit`` bytes; with ``redis`` (a URL) they are kept there instead. Memory
    holds pages of ``memory_entries`` names in all. In ``content_size_limit`` bytes of
    the directory (None: not at all) the contents of small files are kept.

    Everything rests on this order: ``ticket``, the request for a listing, ``fill``; and
    ``change``, the request that writes, ``Change.done``.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        size_limit: int = 256 << 20,
        lifetime: float = 300.0,
        memory_entries: int = 12_000,
        redis: str | None = None,
        content_size_limit: int | None = None,
    ) -> None:
        self.single_flight = SingleFlight()
        self.contents: Contents | None = None
        if directory is not None and content_size_limit is not None:
            self.contents = Contents(directory, content_size_limit, lifetime)
        self._places = Places()
        # Where there is no room for a page, there is none for its entries either.
        room = memory_entries if memory_entries >= PAGE_ENTRIES else 0
        self._files: Latest[KeptEntry] = Latest(room)
        self._tiers: Tiers[Any]
        if redis is not None:
            # Most sites have none, and redis-py is an extra.
            from tahoestorage.cache.redistiers import RedisTiers

            self._tiers = RedisTiers(
                redis, lifetime=lifetime, memory_entries=memory_entries
            )
        else:
            self._tiers = LocalTiers(
                directory,
                size_limit=size_limit,
                lifetime=lifetime,
                memory_entries=memory_entries,
            )

    def revalidate(self) -> Revalidation | None:
        """Read the counters once, before a name is looked up by way of directories.

        Given to each look-up on the way, it spares them further reads. None with a
        Redis, which is asked each time.
        """
        return self._tiers.revalidate()

    def resolved(
        self, place: Hashable, revalidation: Revalidation | None
    ) -> object | None:
        """Return what ``keep_resolved`` kept of a place, if that is still valid."""
        if revalidation is None:
            return None
        return self._places.get(place, revalidation, self._tiers.lifetime)

    def keep_resolved(
        self, place: Hashable, value: object, revalidation: Revalidation | None
    ) -> None:
        """Keep in memory what a place was resolved to, with this revalidation alone.

        It is valid as long as everything is that was looked up with it.
        """
        if revalidation is not None:
            self._places.set(place, value, revalidation)

    def resolved_entry(
        self, place: Hashable, revalidation: Revalidation | None, parsed: bool = True
    ) -> Entry | None:
        """Return what ``entry_kept`` kept of a place, if that is still valid."""
        found = self._files.get(place)
        if found is None or revalidation is None:
            return None
        if parsed and found.entry is UNPARSED:
            return None
        # Another filling may have another entry, also where it has no such page.
        memory, namespace = self._tiers.memory, found.namespace
        root, page = memory.get(namespace.root), memory.get(found.key)
        if page is None or page is not found.page() or root is not found.root():
            return None
        if not revalidation.holds(namespace.slot, page):
            return None
        if not is_fresh(page, self._tiers.lifetime):
            return None
        if found.parent is not None:
            directory = self._places.get(
                found.parent, revalidation, self._tiers.lifetime
            )
            if directory is not found.directory:
                return None
        return found.entry

    def entry_kept(
        self,
        place: Hashable,
        name: str,
        parent: Hashable | None,
        directory: HasNamespace,
        revalidation: Revalidation | None,
        parsed: bool = True,
    ) -> Entry | Absent | None:
        """Return what ``entry`` does, and keep an entry for ``resolved_entry``.

        Not one of a page that was read from disk just now: most are asked for once.
        Unless ``parsed`` is wanted, UNPARSED may stand for it. What is kept is valid as
        long as the page that has it, and as ``parent``, which is the place of
        ``keep_resolved`` for the directory, leads to this ``directory``. None is for a
        root.
        """
        namespace = directory.namespace
        found = self._page_of(namespace, name, revalidation)
        if found is None:
            return None
        root, key, page = found
        entry = page.page.entry(name) if parsed else page.page.state(name)
        if isinstance(entry, Entry) and revalidation is not None and page.used:
            kept = KeptEntry(
                entry, namespace, ref(root), key, ref(page), parent, directory
            )
            self._files.set(place, kept)
        return None if entry is MISSING and not self._tiers.shared else entry

    def entry(
        self,
        namespace: Namespace,
        name: str,
        revalidation: Revalidation | None = None,
        *,
        expired: bool = False,
    ) -> Entry | Absent | None:
        """Return the entry of ``name``, MISSING, or None where that is not known.

        With ``expired``, for when the store is away, expired entries count as well (but
        no stale ones), and MISSING is never returned.
        """
        found = self._page_of(
            namespace, name, revalidation or self.revalidate(), expired=expired
        )
        if found is None:
            return None
        entry = found[2].page.entry(name)
        if entry is MISSING and (expired or not self._tiers.shared):
            return None
        return entry

    def only_entry(self, namespace: Namespace, name: str) -> Entry | Absent | None:
        """Return what ``entry`` does, for a namespace that has no other name.

        It takes less time where that is in memory, and nothing was changed meanwhile.
        """
        found = self._tiers.in_memory(namespace.root)
        if found is None or found.page.bits:
            return self.entry(namespace, name)
        entry = found.page.entry(name)
        return None if entry is MISSING and not self._tiers.shared else entry

    def write_reference(self, namespace: Namespace, name: str) -> str | None:
        """Return the write cap of ``name``, where it is known and ours to know."""
        seal = namespace.write_seal
        found = self._page_of(namespace, name, self.revalidate())
        if seal is None or found is None:
            return None
        page = found[2].page
        if not isinstance(page.entry(name), Entry):
            return None
        return page.write_reference(name, seal, namespace.identity)

    def _page_of(
        self,
        namespace: Namespace,
        name: str,
        revalidation: Revalidation | None,
        *,
        expired: bool = False,
    ) -> tuple[CachedPage, bytes, CachedPage] | None:
        """Return the root's page, and the page of ``name`` with its key."""
        tiers, key = self._tiers, namespace.root
        root = tiers.cached(namespace, key, revalidation, expired=expired)
        if root is None:
            return None
        bits = root.page.bits
        if bits == 0:
            return root, key, root
        key = page_key(namespace, page_number(bucket(name), bits))
        page = tiers.cached(namespace, key, revalidation, expired=expired)
        if page is None or page.page.fill != root.page.fill:
            return None
        return root, key, page

    def entries(self, namespace: Namespace) -> Iterator[tuple[str, Entry]] | None:
        """Return all of a directory, made entry by entry; None unless all is known."""
        if not self._tiers.shared:
            return None
        revalidation = self.revalidate()
        root = self._tiers.page(namespace, namespace.root, revalidation)
        if root is None:
            return None
        pages: list[Page] = []
        for number in range(1 << root.bits):
            key = page_key(namespace, number) if root.bits else namespace.root
            page = self._tiers.page(namespace, key, revalidation)
            if page is None or page.fill != root.fill or page.has_marks:
                return None
            pages.append(page)
        return (
            (name, entry) for page in pages for name, entry in page.items() if entry
        )

    def count_in(self, namespace: Namespace) -> int:
        """Return about how many names a directory has; 0 where that is not known.

        By its pages: what was added since it was spread over them may be missing.
        """
        root = self._tiers.page(namespace, namespace.root)
        return 0 if root is None else max(len(root), PAGE_ENTRIES << root.bits)

    def path(
        self,
        namespace: Namespace,
        path: str,
        revalidation: Revalidation | None = None,
        *,
        expired: bool = False,
    ) -> str | None:
        """Return the read cap of the directory to which ``path`` leads, if known."""
        page = self._tiers.page(
            namespace, path_key(namespace, path), revalidation, expired=expired
        )
        entry = None if page is None else page.entry(path)
        return entry.reference if isinstance(entry, Entry) else None

    def path_write_reference(self, namespace: Namespace, path: str) -> str | None:
        """Return the write cap of the directory to which ``path`` leads, if known."""
        key, seal = path_key(namespace, path), namespace.write_seal
        page = self._tiers.page(namespace, key)
        if page is None or seal is None:
            return None
        return page.write_reference(path, seal, key)

    def text(self, namespace: Namespace, text_key: str, longest: float) -> str | None:
        """Return what ``keep_text`` kept, for ``longest`` seconds at most, or None."""
        key = text_key_of(namespace, text_key)
        found = self._tiers.in_memory(key, longest)
        if found is None:
            found = self._tiers.cached(namespace, key, longest=longest)
        entry = None if found is None else found.page.entry(text_key)
        return entry.reference if isinstance(entry, Entry) else None

    def keep_text(
        self,
        ticket: Ticket,
        namespace: Namespace,
        text_key: str,
        text: str,
        seconds: float,
    ) -> None:
        """Keep a text for so many seconds; only ``forget`` ends it, and no change."""
        key = text_key_of(namespace, text_key)
        page = Page(b"").with_entry(text_key, Entry(EntryKind.UNKNOWN, text))
        timed = Ticket(ticket.generations, time.time() + seconds)
        self._keep_page(timed, namespace, key, page)

    def ticket(self) -> Ticket:
        """Note how things are. To be called before the store is asked for a listing."""
        return Ticket(self._tiers.snapshot(), time.time() + self._tiers.lifetime)

    def unchanged(self, then: Ticket, now: Ticket, namespace: Namespace | None) -> bool:
        """Whether nobody changed a directory, or any (None), between two tickets.

        False also where others may have done so without a word to this process.
        """
        if not self._tiers.shared:
            return False
        if namespace is None:
            return then.generations == now.generations
        slot = namespace.slot
        return then.generations.generation(slot) == now.generations.generation(slot)

    def fill(self, ticket: Ticket, namespace: Namespace, listing: Listing) -> None:
        """Keep the listing that the store sent, unless the directory changed since."""
        self._note_if_dropped(ticket, namespace)
        keep_listing(self._tiers, namespace, ticket.generations, ticket.expiry, listing)

    def fill_path(
        self,
        ticket: Ticket,
        namespace: Namespace,
        path: str,
        reference: str,
        write_reference: str | None,
    ) -> None:
        """Keep to which directory a path leads from the one of ``namespace``."""
        key = path_key(namespace, path)
        page = Page(b"").with_entry(path, Entry(EntryKind.DIRECTORY, reference))
        if namespace.write_seal is not None and write_reference is not None:
            page = page.with_write_references(
                {path: write_reference}, namespace.write_seal, key
            )
        self._keep_page(ticket, namespace, key, page)

    def _keep_page(
        self, ticket: Ticket, namespace: Namespace, key: bytes, page: Page
    ) -> None:
        self._note_if_dropped(ticket, namespace)
        self._tiers.fill(
            namespace, ticket.generations, ticket.expiry, [(key, page)], hold=True
        )

    def _note_if_dropped(self, ticket: Ticket, namespace: Namespace) -> None:
        """Count a filling that is about to be dropped, for the directory changed."""
        if metering.is_used and self._tiers.shared:
            now = Ticket(self._tiers.snapshot(), ticket.expiry)
            if not self.unchanged(ticket, now, namespace):
                metering.meter.dropped_fill()

    def change(
        self,
        namespace: Namespace,
        name: str,
        *,
        alone: bool = False,
        forgotten: Sequence[Namespace] = (),
    ) -> Change:
        """Begin a change of ``name``. To be called before the write is sent.

        ``alone`` says that the namespace has no other name: then the entry is cached
        also where nothing was known of it. Namespaces that are ``forgotten`` are so as
        by ``forget``, now and once it is done, by the same looks at the files.
        """
        return Change(self._tiers, namespace, name, alone=alone, forgotten=forgotten)

    def change_many(self, namespace: Namespace, names: Iterable[str]) -> ManyChanges:
        """Begin a change of names. To be called before the one write is sent."""
        return ManyChanges(self._tiers, namespace, names)

    def lock(
        self, namespace: Namespace, label: str, seconds: float, longest: float = 0.0
    ) -> WriteLock:
        """Return the write lock to a directory, for ``with``.

        With a Redis nobody else who shares it holds the lock at the same time. It
        outlives a process that dies by ``seconds``, or an eighth more. One request of a
        holder takes ``longest`` seconds at most; ``label`` begins errors.
        """
        return self._tiers.lock(namespace, label, seconds, longest)

    @property
    def shares_locks(self) -> bool:
        """Whether ``lock`` is heeded by all who write, as far as is known now."""
        return self._tiers.shares_locks

    def forget(self, namespace: Namespace) -> None:
        """Forget a directory, and the paths from it."""
        self._tiers.invalidate(namespace)
