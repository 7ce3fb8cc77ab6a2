"""The interface of a cache's tiers, and for how long a page is believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.memory import CachedPage, MemoryTier
from tahoestorage.cache.pages import Page
from tahoestorage.cache.revalidation import Revalidation
from tahoestorage.cache.sealing import Namespace

UNSHARED_SECONDS = 2.0
"""For so long a page is believed where nobody says that it is stale."""
BATCH = 32
"""How many pages are stored under one lock, for which others wait."""

Load = Callable[[bytes], Page | None]
"""Returns the page at a key as it is now, or None."""
Edit = Callable[[Load], Iterator[tuple[bytes, Page]]]
"""Loads pages, and yields those that are to take their places, by key."""


class Moment(Protocol):
    """How things were at one moment: a value to compare, with nothing in it to see."""

    def generation(self, slot: int) -> Hashable:
        """Return what differs from another moment's if the slot changed between."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """How things were before the store was asked.

    Its response is kept only if the directory has not changed since. ``expiry`` is in
    seconds since 1970.
    """

    generations: Moment
    expiry: float


M = TypeVar("M", bound=Moment)


class Tiers(Protocol[M]):
    """Pages by key, from the nearest tier that has them.

    Tiers are memory and what processes share: a disk (``LocalTiers``) or a Redis
    (``RedisTiers``), each with its own kind of moment. Whatever fails of what is shared
    costs requests, is logged once in a ``lifetime``, and raises nothing.
    """

    lifetime: float
    """Seconds for which a page is believed."""
    memory: MemoryTier
    makes_pages: bool
    """Whether a change may bring a page that was not there before."""

    @property
    def shared(self) -> bool:
        """Whether other processes tell this one what they change."""

    @property
    def shares_locks(self) -> bool:
        """Whether all who write heed the locks, as far as is known now."""

    def revalidate(self) -> Revalidation | None:
        """Read the counters once, before a response is begun.

        None where each page must be asked for by itself.
        """

    def page(
        self,
        namespace: Namespace,
        key: bytes,
        revalidation: Revalidation | None = None,
        *,
        expired: bool = False,
        longest: float | None = None,
    ) -> Page | None:
        """Return the page at ``key``, or None where it is not known: see ``cached``."""
        found = self.cached(
            namespace, key, revalidation, expired=expired, longest=longest
        )
        return None if found is None else found.page

    def cached(
        self,
        namespace: Namespace,
        key: bytes,
        revalidation: Revalidation | None = None,
        *,
        expired: bool = False,
        longest: float | None = None,
    ) -> CachedPage | None:
        """Return the page at ``key`` and when it expires, or None if it is not known.

        Never a stale one. It was kept for a lifetime, or for ``longest`` seconds, at
        most; with ``expired`` for any time. With the ``revalidation``
        of before the counters need not be read for each page of a response.
        """

    def in_memory(self, key: bytes, longest: float | None = None) -> CachedPage | None:
        """Return what ``cached`` does, if memory has it and nothing at all was changed.

        That takes one read of the counters. None says nothing.
        """

    def snapshot(self) -> M:
        """Note how things are, before the store is asked."""

    def fill(
        self,
        namespace: Namespace,
        since: M,
        expiry: float,
        pages: Iterable[tuple[bytes, Page]],
        *,
        hold: bool,
    ) -> None:
        """Keep pages until ``expiry``, unless the namespace has changed ``since``.

        ``expiry`` is in seconds since 1970. ``hold`` says whether memory takes the
        pages at once.
        """

    def patch(
        self, namespace: Namespace, edit: Edit, forgotten: Iterable[Namespace] = ()
    ) -> None:
        """Tell all who share these that a namespace changes, and edit pages of it.

        Those that are ``forgotten`` are invalidated by the way.

        What is filled from a moment before this is dropped. Where the pages can't be
        edited, none of the namespace's is believed any more.
        """

    def invalidate(self, namespace: Namespace) -> None:
        """Let nothing that is known of a namespace be believed, by any process."""

    def lock(
        self, namespace: Namespace, label: str, seconds: float, longest: float
    ) -> WriteLock:
        """Return the write lock to a directory: see ``EntryCache.lock``."""


def is_fresh(cached: CachedPage, longest: float) -> bool:
    """Whether a page that was kept for ``longest`` seconds at most has not expired."""
    # Not longer than it was kept for either: the clock may have been set back.
    return 0 < cached.expiry - time.time() <= longest
