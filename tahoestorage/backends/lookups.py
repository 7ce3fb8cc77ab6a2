"""Looking up objects: in the cache, or else by one request that fills it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from tahoestorage import metering
from tahoestorage.backends.names import path_of
from tahoestorage.backends.objectstore import ObjectStore, Signed, is_hidden
from tahoestorage.backends.processcaches import entry_cache
from tahoestorage.backends.saving import is_ours
from tahoestorage.cache import (
    MISSING,
    Absent,
    EntryCache,
    Latest,
    Listing,
    Namespace,
    Ticket,
)
from tahoestorage.config.settings import (
    CacheOptions,
    read_cache_options,
    secret_key,
)
from tahoestorage.entries import Entry
from tahoestorage.exceptions import FileMissing, StoreUnreachable
from tahoestorage.once import made_once

# Each name is a listing of its own in the cache, with one entry at most.
ITEM = ""
# So many of them, and of their URLs', are kept in memory, which has fewer names by
# default: each takes three hashes, and a kilobyte with the longest keys.
KEPT = 1 << 14
HOUR = 3600.0


class KnownName:
    """What follows from a name while the storage has this ``location``.

    Its key, and where the cache has its entry; and once they were asked for, its path,
    and where the cache has its URLs.
    """

    __slots__ = ("item", "key", "location", "path", "urls")

    def __init__(self, location: str, key: str, item: Namespace) -> None:
        self.location = location
        self.key = key
        self.item = item
        self.path: tuple[str, ...] | None = None
        self.urls: Namespace | None = None


class PrefetchedEntries(NamedTuple):
    """What a ``prefetch`` block has read at its start: entries by key.

    None stands for a key that was written within the block.
    """

    storage: Lookups
    prefix: str
    entries: dict[str, Entry | None]


_prefetched: ContextVar[tuple[PrefetchedEntries, ...]] = ContextVar(
    "prefetched", default=()
)


# By key, and not by name: in a subclass another key may follow from that at any time.
@functools.lru_cache(maxsize=KEPT)
def _item_of(store: Namespace, key: str) -> Namespace:
    return store.item(key)


@functools.lru_cache(maxsize=KEPT)
def _urls_of(store: Namespace, key: str) -> Namespace:
    # Of another slot than the entry: URLs live longer, and each write to a slot
    # makes an end of them. And to forget them makes an end of their slot's entries.
    slot = _item_of(store, key).slot
    urls = (store.item(f"url{n or ''}:{key}") for n in itertools.count())
    return next(each for each in urls if each.slot != slot)


def _text_of(*asked: object) -> str:
    return json.dumps(asked, sort_keys=True, default=str)


# A site asks for URLs of a few kinds, again and again.
_known_text_of = functools.lru_cache(maxsize=256, typed=True)(_text_of)


class Lookups(ObjectStore):
    """An object store with a cache: one entry for each name, and signed URLs."""

    def __init__(self, **options: Any) -> None:
        self._cache_given = options.pop("cache", None)
        allow = options.pop("allow_overwrite", None)
        if allow is not None:
            if options.get("file_overwrite", allow) != allow:
                raise ImproperlyConfigured(
                    "allow_overwrite and file_overwrite differ; expected one of them"
                )
            options["file_overwrite"] = allow
        super().__init__(**options)

    @property
    def cache_options(self) -> CacheOptions | None:
        """The options of the cache; None where it is off.

        Raises ImproperlyConfigured with all that is wrong with them.
        """
        return read_cache_options(self._cache_given)

    @made_once
    def _entries(self) -> EntryCache:
        return entry_cache(self.cache_options)

    @made_once
    def _namespace(self) -> Namespace:
        identity = json.dumps(self.identity()).encode()
        return Namespace(identity, secret_key() + identity)

    @made_once
    def _names(self) -> Latest[KnownName]:
        # In a subclass another key may follow from a name at any time.
        return Latest(KEPT if is_ours(self, *self.makes_keys) else 0)

    def _known(self, name: str) -> KnownName:
        """Return what follows from a name: one look where it is known."""
        known = self._names.get(name)
        location = self.location
        if known is None or known.location != location:
            key = self.key_of(name)
            known = KnownName(location, key, _item_of(self._namespace, key))
            self._names.set(name, known)
        return known

    def _item(self, name: str) -> Namespace:
        return self._known(name).item

    def _known_path(self, name: str) -> KnownName:
        """Return what ``_known`` does, with the path. Raises what ``path_of`` does."""
        # Not by _known at first: this is on the way of each look-up.
        known = self._names.get(name)
        if known is None or known.path is None or known.location != self.location:
            known = self._known(name)
            known.path = path_of(name)
        return known

    def _cached(self, name: str, item: Namespace) -> Entry | Absent | None:
        if blocks := _prefetched.get():
            for block in reversed(blocks):
                if block.storage is self and self.key_of(name).startswith(block.prefix):
                    cached = block.entries.get(self.key_of(name), MISSING)
                    if cached is not None:
                        return cached
        return self._entries.only_entry(item, ITEM)

    def entry(self, name: str, *, confirm: bool = False) -> Entry | None:
        """Return the entry of ``name``; None where there is no such object.

        The store is asked where the cache has nothing. With ``confirm`` it is also
        asked where the cache says that the object is missing.
        """
        item = self._known_path(name).item
        cached = self._cached(name, item)
        is_hit = cached is not None and not (cached is MISSING and confirm)
        metering.meter.looked_up(hit=is_hit)
        if is_hit:
            return cached if isinstance(cached, Entry) else None
        try:
            return self._ask(name, item)
        except FileMissing:
            return None

    def _ask(self, name: str, item: Namespace) -> Entry:
        """Return the entry that the store has, and cache it. Raises FileMissing."""
        ticket = self._entries.ticket()
        try:
            entry = self.stat_object(self.key_of(name), name)
        except FileMissing:
            if not self._is_expected(name):
                self._fill(ticket, item, None)
            raise
        self._fill(ticket, item, entry)
        return entry

    def _fill(self, ticket: Ticket, item: Namespace, entry: Entry | None) -> None:
        listing = Listing()
        if entry is not None:
            listing.add(ITEM, entry)
        self._entries.fill(ticket, item, listing)

    def file_entry(self, name: str) -> Entry:
        """Return the entry of a file; an expired one while the store is away.

        Its size and time may be None, for a file that was saved just now. Raises
        FileMissing, of which the store was asked.
        """
        item = self._known_path(name).item
        cached = self._cached(name, item)
        metering.meter.looked_up(hit=isinstance(cached, Entry))
        if isinstance(cached, Entry):
            return cached
        try:
            return self._ask(name, item)
        except StoreUnreachable:
            expired = self._entries.entry(item, ITEM, expired=True)
            if not isinstance(expired, Entry):
                raise
            return expired

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[Callable[[Entry | Absent], None]]:
        """Invalidate ``name`` before it is written in the block, and after it.

        Call what is yielded with the new entry, or with MISSING, to have it cached.
        Otherwise, and where the block raises, nothing is cached.
        """
        item = self._item(name)
        for block in _prefetched.get():
            if block.storage is self:
                block.entries[self.key_of(name)] = None
        urls = self._urls(name)
        change = self._entries.change(item, ITEM, alone=True, forgotten=[urls])
        cached: Entry | Absent | None = None

        def became(entry: Entry | Absent) -> None:
            nonlocal cached
            cached = entry

        try:
            yield became
        finally:
            if cached is MISSING and self._is_expected(name):
                cached = None
            change.done(cached)

    def _expect(self, name: str, seconds: float) -> None:
        """Cache no "missing" for ``name``, for ``seconds`` and an hour.

        Somebody else may upload it by a signed URL, and will not tell the cache.
        """
        ticket = self._entries.ticket()
        namespace = self._namespace.item("upload:" + self.key_of(name))
        self._entries.keep_text(ticket, namespace, "", "expected", seconds + HOUR)
        # What was known of it is forgotten after that: nobody can learn it in between.
        with self._changing(name):
            pass

    def _is_expected(self, name: str) -> bool:
        namespace = self._namespace.item("upload:" + self.key_of(name))
        return self._entries.text(namespace, "", math.inf) is not None

    # Signed URLs

    def _urls(self, name: str) -> Namespace:
        known = self._known(name)
        if known.urls is None:
            known.urls = _urls_of(self._namespace, known.key)
        return known.urls

    def _stable_url(
        self,
        name: str,
        asked: Sequence[object],
        seconds: float,
        sign: Callable[[], Signed],
    ) -> str:
        """Return a signed URL: the cached one for half of the time that it works.

        Browsers then find the file in their own cache. ``asked`` is what the URL
        depends on besides the name; ``seconds`` is how long it works at most.
        """
        namespace = self._urls(name)
        try:
            variant = _known_text_of(*asked)
        except TypeError:  # There is a dict in it.
            variant = _text_of(*asked)
        cached = self._entries.text(namespace, variant, seconds / 2)
        if cached is not None:
            return cached
        ticket = self._entries.ticket()
        signed = sign()
        half = min(signed.seconds, seconds) / 2
        self._entries.keep_text(ticket, namespace, variant, signed.url, half)
        return signed.url

    def listed(self, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """Yield each name that begins with ``prefix``, and its entry.

        They are read from the store, 1,000 a request, as they are used. Consoles make
        empty objects with names that end in "/" for folders: these are yielded too, but
        for that of the location itself. Objects of trials are not.
        """
        base = self.key_prefix
        for page in self.list_pages(base + prefix):
            for key, entry in page:
                if key != base and not is_hidden(key):
                    yield key[len(base) :], entry

    def fill_cache(self, accepts: Callable[[str], bool]) -> Iterator[str]:
        """Cache the entry of each file in the store, and yield each name then.

        Names for which ``accepts`` is False are left out. 1,000 a request. Raises a
        StoreError where the store can't be asked.
        """
        pages = iter(self.list_pages(self.key_prefix))
        while True:
            ticket = self._entries.ticket()
            page = next(pages, None)
            if page is None:
                return
            for key, entry in page:
                name = key[len(self.key_prefix) :]
                if name and accepts(name):
                    self._fill(ticket, self._item(name), entry)
                    yield name

    @property
    def key_prefix(self) -> str:
        """What all keys begin with: the location and a slash, or nothing."""
        location = self.key_of("")
        return f"{location}/" if location else ""

    @contextlib.contextmanager
    def prefetch(self, prefix: str = "") -> Iterator[None]:
        """Read all entries below ``prefix`` now, for the look-ups in the block.

        1,000 a request. Within the block no further request is made for these names.
        What others write meanwhile is not seen in it; what this storage writes is.
        """
        base = self.key_prefix
        entries: dict[str, Entry | None] = {
            base + name: entry for name, entry in self.listed(prefix)
        }
        block = PrefetchedEntries(self, base + prefix, entries)
        token = _prefetched.set((*_prefetched.get(), block))
        try:
            yield
        finally:
            _prefetched.reset(token)
