"""What is known of stores, and for how long: entries, listings, paths, texts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tahoestorage.cache.changes import Change
from tahoestorage.cache.localtiers import LocalTiers
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.pages import (
    MISSING,
    Absent,
    Listing,
    Page,
    bucket,
    close_references,
    page_number,
)
from tahoestorage.cache.revalidation import Places, Revalidation
from tahoestorage.cache.sealing import Namespace, page_key, path_key
from tahoestorage.cache.singleflight import SingleFlight
from tahoestorage.cache.tiers import Moment, Tiers
from tahoestorage.entries import Entry, EntryKind


@dataclass(frozen=True, slots=True)
class Ticket:
    """How things were before the store was asked.

    Its response is kept only if the directory has not changed since. ``expiry`` is in
    seconds since 1970.
    """

    generations: Moment
    expiry: float


class EntryCache:
    """What is known of directories: their entries, and where paths lead.

    A listing is cached whole, so that a name that is not on it is known to be missing.
    Two things end what is known: it *expires* ``lifetime`` seconds after the store was
    asked, and it is *stale* once the directory was changed. Expired entries may serve
    while the store is away, stale ones never.

    ``directory`` is where pages are kept on disk (None: only in memory), within
    ``size_limit`` bytes; with ``redis`` (a URL) they are kept there instead. Memory
    holds pages of ``memory_entries`` names in all.

    Everything rests on this order: ``ticket`` before the store is asked, and ``fill``
    with its response; ``change`` before a write is sent, and ``Change.done`` after its
    response.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        size_limit: int = 256 << 20,
        lifetime: float = 300.0,
        memory_entries: int = 10_000,
        redis: str | None = None,
    ) -> None:
        self.single_flight = SingleFlight()
        self._places = Places()
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
        page = self._page_of(
            namespace, name, revalidation or self.revalidate(), expired=expired
        )
        if page is None:
            return None
        entry = page.entry(name)
        if entry is MISSING and (expired or not self._tiers.shared):
            return None
        return entry

    def write_reference(self, namespace: Namespace, name: str) -> str | None:
        """Return the write cap of ``name``, where it is known and ours to know."""
        seal = namespace.write_seal
        page = self._page_of(namespace, name, self.revalidate())
        if seal is None or page is None or not isinstance(page.entry(name), Entry):
            return None
        return page.write_reference(name, seal, namespace.identity)

    def _page_of(
        self,
        namespace: Namespace,
        name: str,
        revalidation: Revalidation | None,
        *,
        expired: bool = False,
    ) -> Page | None:
        root = self._tiers.page(
            namespace, namespace.root, revalidation, expired=expired
        )
        if root is None or root.bits == 0:
            return root
        key = page_key(namespace, page_number(bucket(name), root.bits))
        page = self._tiers.page(namespace, key, revalidation, expired=expired)
        return page if page is not None and page.fill == root.fill else None

    def entries(self, namespace: Namespace) -> list[tuple[str, Entry]] | None:
        """Return all of a directory, or None unless all of it is known."""
        if not self._tiers.shared:
            return None
        revalidation = self.revalidate()
        root = self._tiers.page(namespace, namespace.root, revalidation)
        if root is None:
            return None
        found: list[tuple[str, Entry]] = []
        for number in range(1 << root.bits):
            key = page_key(namespace, number) if root.bits else namespace.root
            page = self._tiers.page(namespace, key, revalidation)
            if page is None or page.fill != root.fill:
                return None
            for name, entry in page.items():
                if entry is None:
                    return None
                found.append((name, entry))
        return found

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
        page = self._tiers.page(
            namespace, _text_key(namespace, text_key), longest=longest
        )
        entry = None if page is None else page.entry(text_key)
        return entry.reference if isinstance(entry, Entry) else None

    def keep_text(
        self,
        ticket: Ticket,
        namespace: Namespace,
        text_key: str,
        text: str,
        seconds: float,
    ) -> None:
        """Keep a text for so many seconds, or until its namespace is forgotten.

        A change to a name does not touch the texts of its namespace: only
        ``forget`` does.
        """
        key = _text_key(namespace, text_key)
        page = Page(b"").with_entry(text_key, Entry(EntryKind.UNKNOWN, text))
        timed = Ticket(ticket.generations, time.time() + seconds)
        self._fill(timed, namespace, iter([(key, page)]), hold=True)

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
        fill = secrets.token_bytes(8)
        bits = listing.bits
        keys = [namespace.root]

        def pages() -> Iterator[tuple[bytes, Page]]:
            for number, lines, references in listing.pages():
                sealed = b""
                if references and namespace.write_seal is not None:
                    sealed = close_references(
                        references, namespace.write_seal, namespace.identity
                    )
                key = page_key(namespace, number) if bits else namespace.root
                keys.append(key)
                yield key, Page(lines, sealed, bits, fill)
            # Last: without it, pages of which only some were stored are not found.
            if bits:
                yield namespace.root, Page(b"", b"", bits, fill)

        # One great directory must not drive all others out of memory.
        hold = len(listing) <= self._tiers.memory.room // 4
        self._fill(ticket, namespace, pages(), hold=hold)
        if not hold:
            # What memory has of it is still valid, but of an earlier filling.
            for key in keys:
                self._tiers.memory.drop(key)

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
            page = page.with_write_reference(
                path, write_reference, namespace.write_seal, key
            )
        self._fill(ticket, namespace, iter([(key, page)]), hold=True)

    def _fill(
        self,
        ticket: Ticket,
        namespace: Namespace,
        pages: Iterator[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        self._tiers.fill(namespace, ticket.generations, ticket.expiry, pages, hold=hold)

    def change(self, namespace: Namespace, name: str) -> Change:
        """Begin a change of ``name``. To be called before the write is sent."""
        return Change(self._tiers, namespace, name)

    def lock(
        self, namespace: Namespace, label: str, seconds: float, longest: float = 0.0
    ) -> WriteLock:
        """Return the write lock to a directory, for ``with``.

        With a Redis nobody else who shares it holds the lock at the same time. It
        outlives a process that dies by ``seconds``, or an eighth more. One request of a
        holder takes ``longest`` seconds at most; ``label`` begins errors.
        """
        return self._tiers.lock(namespace, label, seconds, longest)

    def forget(self, namespace: Namespace) -> None:
        """Forget a directory, and the paths from it."""
        self._tiers.invalidate(namespace)


def _text_key(namespace: Namespace, text_key: str) -> bytes:
    # Bound to the namespace's own place: namespaces of items share their keys.
    return namespace.key(
        namespace.root + b"text:" + text_key.encode("utf-8", "surrogatepass")
    )
