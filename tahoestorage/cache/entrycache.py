"""The cache of entries: what is known of directories, and when it is forgotten."""

from __future__ import annotations

import secrets
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoestorage.cache.changes import Change
from tahoestorage.cache.flights import Flights
from tahoestorage.cache.generations import Snapshot
from tahoestorage.cache.glances import Glance, Places
from tahoestorage.cache.pages import (
    MISSING,
    Absent,
    Listing,
    Page,
    bucket,
    close_references,
    page_number,
)
from tahoestorage.cache.sealing import Scope, page_key, path_key
from tahoestorage.cache.tiers import Tiers
from tahoestorage.cache.turns import Turn
from tahoestorage.entries import Entry, EntryKind

if TYPE_CHECKING:
    from tahoestorage.cache.redisstate import RedisSnapshot
    from tahoestorage.cache.redistiers import RedisTiers


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was so when the store was asked: only then may the answer be kept."""

    generations: Snapshot | RedisSnapshot
    expiry: float


class EntryCache:
    """What is known of directories: their entries, and where paths lead.

    A directory is known whole or not at all, so that a name that is not there is
    known to be missing. ``directory`` is where pages are kept on disk (None: only
    in memory), within ``size_limit`` bytes; they are believed for ``lifetime``
    seconds. Memory holds pages of ``memory_entries`` names in all.

    The order of things, on which everything rests: ``ticket`` before the store is
    asked and ``fill`` with its answer; ``change`` before a write is sent and
    ``Change.done`` after its answer.
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
        self._tiers: Tiers | RedisTiers
        if redis is not None:
            # Most sites have none, and redis-py is an extra.
            from tahoestorage.cache.redistiers import RedisTiers

            self._tiers = RedisTiers(
                redis, lifetime=lifetime, memory_entries=memory_entries
            )
        else:
            self._tiers = Tiers(
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
        tiers = self._tiers
        return tiers.glance() if isinstance(tiers, Tiers) else None

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
        scope: Scope,
        name: str,
        glance: Glance | None = None,
        *,
        expired: bool = False,
    ) -> Entry | Absent | None:
        """Return the entry of ``name``, MISSING, or None where that is not known.

        With ``expired``, for when the store is away, old entries count as well;
        "missing" is then never said.
        """
        page = self._page_of(scope, name, glance or self.glance(), expired=expired)
        if page is None:
            return None
        entry = page.entry(name)
        if entry is MISSING and (expired or not self._tiers.shared):
            return None
        return entry

    def write_reference(self, scope: Scope, name: str) -> str | None:
        """Return the write cap of ``name``, where it is known and ours to know."""
        seal = scope.write_seal
        page = self._page_of(scope, name, self.glance())
        if seal is None or page is None or not isinstance(page.entry(name), Entry):
            return None
        return page.write_reference(name, seal, scope.identity)

    def _page_of(
        self, scope: Scope, name: str, glance: Glance | None, *, expired: bool = False
    ) -> Page | None:
        root = self._page(scope, scope.root, glance, expired=expired)
        if root is None or root.bits == 0:
            return root
        key = page_key(scope, page_number(bucket(name), root.bits))
        page = self._page(scope, key, glance, expired=expired)
        return page if page is not None and page.fill == root.fill else None

    def _page(
        self, scope: Scope, key: bytes, glance: Glance | None, *, expired: bool = False
    ) -> Page | None:
        tiers = self._tiers
        if isinstance(tiers, Tiers):
            return tiers.page(scope, key, glance, expired=expired)
        return tiers.page(scope, key, expired=expired)

    def entries(self, scope: Scope) -> list[tuple[str, Entry]] | None:
        """Return all of a directory, or None unless all of it is known."""
        if not self._tiers.shared:
            return None
        glance = self.glance()
        root = self._page(scope, scope.root, glance)
        if root is None:
            return None
        found: list[tuple[str, Entry]] = []
        for number in range(1 << root.bits):
            key = page_key(scope, number) if root.bits else scope.root
            page = self._page(scope, key, glance)
            if page is None or page.fill != root.fill:
                return None
            for name, entry in page.items():
                if entry is None:
                    return None
                found.append((name, entry))
        return found

    def path(
        self,
        scope: Scope,
        path: str,
        glance: Glance | None = None,
        *,
        expired: bool = False,
    ) -> str | None:
        """Return the read cap of the directory to which ``path`` leads, if known."""
        page = self._page(scope, path_key(scope, path), glance, expired=expired)
        entry = None if page is None else page.entry(path)
        return entry.reference if isinstance(entry, Entry) else None

    def path_write_reference(self, scope: Scope, path: str) -> str | None:
        """Return the write cap of the directory to which ``path`` leads, if known."""
        key, seal = path_key(scope, path), scope.write_seal
        page = self._tiers.page(scope, key)
        if page is None or seal is None:
            return None
        return page.write_reference(path, seal, key)

    def text(self, scope: Scope, label: str, longest: float) -> str | None:
        """Return what ``keep_text`` kept for ``longest`` seconds at most, if known."""
        page = self._tiers.page(scope, _text_key(scope, label), longest=longest)
        entry = None if page is None else page.entry(label)
        return entry.reference if isinstance(entry, Entry) else None

    def keep_text(
        self, ticket: Ticket, scope: Scope, label: str, text: str, seconds: float
    ) -> None:
        """Keep a text for so many seconds, or until its scope is forgotten.

        A change to a name does not touch the texts of its scope: only ``forget`` does.
        """
        key = _text_key(scope, label)
        page = Page(b"").with_entry(label, Entry(EntryKind.UNKNOWN, text))
        timed = Ticket(ticket.generations, time.time() + seconds)
        self._fill(timed, scope, iter([(key, page)]), hold=True)

    def ticket(self) -> Ticket:
        """Note how things are, before the store is asked about a directory."""
        return Ticket(self._tiers.snapshot(), time.time() + self._tiers.lifetime)

    def unchanged(self, then: Ticket, now: Ticket, scope: Scope | None) -> bool:
        """Whether nobody changed a directory, or any (None), between two tickets.

        False also where others may have done so without a word to this process.
        """
        if not self._tiers.shared:
            return False
        before: Any = then.generations
        after: Any = now.generations
        if scope is not None:
            before, after = before.generation(scope.slot), after.generation(scope.slot)
        return bool(before == after)

    def fill(self, ticket: Ticket, scope: Scope, listing: Listing) -> None:
        """Keep what the store answered, unless the directory was changed since."""
        fill = secrets.token_bytes(8)
        bits = listing.bits
        keys = [scope.root]

        def pages() -> Iterator[tuple[bytes, Page]]:
            for number, lines, references in listing.pages():
                sealed = b""
                if references and scope.write_seal is not None:
                    sealed = close_references(
                        references, scope.write_seal, scope.identity
                    )
                key = page_key(scope, number) if bits else scope.root
                keys.append(key)
                yield key, Page(lines, sealed, bits, fill)
            # Last: without it, pages of which only some were stored are not found.
            if bits:
                yield scope.root, Page(b"", b"", bits, fill)

        # One great directory must not drive all others out of memory.
        hold = len(listing) <= self._tiers.memory.room // 4
        self._fill(ticket, scope, pages(), hold=hold)
        if not hold:
            # What memory held of it before is as valid as it was, but older.
            for key in keys:
                self._tiers.memory.drop(key)

    def fill_path(
        self,
        ticket: Ticket,
        scope: Scope,
        path: str,
        reference: str,
        write_reference: str | None,
    ) -> None:
        """Keep to which directory a path leads from the one of ``scope``."""
        key = path_key(scope, path)
        page = Page(b"").with_entry(path, Entry(EntryKind.DIRECTORY, reference))
        if scope.write_seal is not None and write_reference is not None:
            page = page.with_write_reference(
                path, write_reference, scope.write_seal, key
            )
        self._fill(ticket, scope, iter([(key, page)]), hold=True)

    def _fill(
        self,
        ticket: Ticket,
        scope: Scope,
        pages: Iterator[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        since: Any = ticket.generations.generation(scope.slot)
        self._tiers.fill(scope, since, ticket.expiry, pages, hold=hold)

    def change(self, scope: Scope, name: str) -> Change:
        """Note that ``name`` is about to be changed, before the write is sent."""
        return Change(self._tiers, scope, name)

    def turn(
        self, scope: Scope, what: str, seconds: float, longest: float = 0.0
    ) -> Turn:
        """Return the turn at writing to a directory, to be entered.

        With a Redis nobody else of those who share it has one at the same time, until
        ``seconds`` after this process has ended, and some more. One request of a holder
        takes ``longest`` seconds at most.
        """
        tiers = self._tiers
        if isinstance(tiers, Tiers):
            return Turn()
        return tiers.turn(scope, what, seconds, longest)

    def forget(self, scope: Scope) -> None:
        """Forget a directory, and the paths from it."""
        self._tiers.disbelieve(scope)


def _text_key(scope: Scope, label: str) -> bytes:
    # Bound to the scope's own place: scopes of items share their keys.
    return scope.key(scope.root + b"text:" + label.encode("utf-8", "surrogatepass"))
