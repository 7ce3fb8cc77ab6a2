"""The cache of entries: what is known of directories, and when it is forgotten."""

from __future__ import annotations

import secrets
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tahoestorage.cache.changes import Change
from tahoestorage.cache.flights import Flights
from tahoestorage.cache.glances import Glance, Places
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
from tahoestorage.cache.sealing import Namespace, page_key, path_key
from tahoestorage.cache.tiers import Moment, Tiers
from tahoestorage.entries import Entry, EntryKind


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was so when the store was asked: only then may the response be kept."""

    generations: Moment
    expiry: float


class EntryCache:
    """What is known of directories: their entries, and where paths lead.

    A directory is known whole or not at all, so that a name that is not there is
    known to be missing. ``directory`` is where pages are kept on disk (None: only
    in memory), within ``size_limit`` bytes; they are believed for ``lifetime``
    seconds. Memory holds pages of ``memory_entries`` names in all.

    The order of things, on which everything rests: ``ticket`` before the store is
    asked and ``fill`` with its response; ``change`` before a write is sent and
    ``Change.done`` after its response.
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
        self.flights = Flights()
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

    def glance(self) -> Glance | None:
        """Look once, before a name is looked up through several directories.

        Given to each question on the way, it spares all of them another look. With a
        Redis there is none to be had.
        """
        return self._tiers.glance()

    def found(self, place: Hashable, glance: Glance | None) -> object | None:
        """Return what ``keep_found`` kept of a place, if nothing has changed since."""
        if glance is None:
            return None
        return self._places.get(place, glance, self._tiers.lifetime)

    def keep_found(self, place: Hashable, value: object, glance: Glance | None) -> None:
        """Keep in memory what was found at a place, with nothing but this glance.

        It is valid as long as all is that was asked with the glance.
        """
        if glance is not None:
            self._places.set(place, value, glance)

    def entry(
        self,
        namespace: Namespace,
        name: str,
        glance: Glance | None = None,
        *,
        expired: bool = False,
    ) -> Entry | Absent | None:
        """Return the entry of ``name``, MISSING, or None where that is not known.

        With ``expired``, for when the store is away, old entries count as well;
        "missing" is then never said.
        """
        page = self._page_of(namespace, name, glance or self.glance(), expired=expired)
        if page is None:
            return None
        entry = page.entry(name)
        if entry is MISSING and (expired or not self._tiers.shared):
            return None
        return entry

    def write_reference(self, namespace: Namespace, name: str) -> str | None:
        """Return the write cap of ``name``, where it is known and ours to know."""
        seal = namespace.write_seal
        page = self._page_of(namespace, name, self.glance())
        if seal is None or page is None or not isinstance(page.entry(name), Entry):
            return None
        return page.write_reference(name, seal, namespace.identity)

    def _page_of(
        self,
        namespace: Namespace,
        name: str,
        glance: Glance | None,
        *,
        expired: bool = False,
    ) -> Page | None:
        root = self._tiers.page(namespace, namespace.root, glance, expired=expired)
        if root is None or root.bits == 0:
            return root
        key = page_key(namespace, page_number(bucket(name), root.bits))
        page = self._tiers.page(namespace, key, glance, expired=expired)
        return page if page is not None and page.fill == root.fill else None

    def entries(self, namespace: Namespace) -> list[tuple[str, Entry]] | None:
        """Return all of a directory, or None unless all of it is known."""
        if not self._tiers.shared:
            return None
        glance = self.glance()
        root = self._tiers.page(namespace, namespace.root, glance)
        if root is None:
            return None
        found: list[tuple[str, Entry]] = []
        for number in range(1 << root.bits):
            key = page_key(namespace, number) if root.bits else namespace.root
            page = self._tiers.page(namespace, key, glance)
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
        glance: Glance | None = None,
        *,
        expired: bool = False,
    ) -> str | None:
        """Return the read cap of the directory to which ``path`` leads, if known."""
        page = self._tiers.page(
            namespace, path_key(namespace, path), glance, expired=expired
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
        """Return what ``keep_text`` kept for ``longest`` seconds at most, if known."""
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
        """Note how things are, before the store is asked about a directory."""
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
        """Keep what the store answered, unless the directory was changed since."""
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
            # What memory held of it before is as valid as it was, but older.
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
        """Note that ``name`` is about to be changed, before the write is sent."""
        return Change(self._tiers, namespace, name)

    def lock(
        self, namespace: Namespace, label: str, seconds: float, longest: float = 0.0
    ) -> WriteLock:
        """Return the write lock to a directory, to be entered.

        With a Redis nobody else of those who share it has one at the same time, until
        ``seconds`` after this process has ended, and some more. One request of a holder
        takes ``longest`` seconds at most.
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
