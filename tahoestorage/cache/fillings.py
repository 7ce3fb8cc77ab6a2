"""Stores a directory's listing in the cache, divided into pages: a filling."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from tahoestorage.cache.pages import Listing, Page, close_references
from tahoestorage.cache.sealing import Namespace, page_key
from tahoestorage.cache.tiers import Moment, Tiers


def keep_listing(
    tiers: Tiers[Any],
    namespace: Namespace,
    since: Moment,
    expiry: float,
    listing: Listing,
) -> None:
    """Keep a listing until ``expiry``, unless the directory has changed ``since``.

    ``expiry`` is in seconds since 1970.
    """
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
    hold = len(listing) <= tiers.memory.room // 4
    tiers.fill(namespace, since, expiry, pages(), hold=hold)
    if not hold:
        # What memory has of it is still valid, but of an earlier filling.
        for key in keys:
            tiers.memory.drop(key)


def spread(tiers: Tiers[Any], namespace: Namespace) -> None:
    """Keep what is known of a directory anew, on as many pages as its names need.

    Each change of a name is written with the whole page that has it, and the number of
    pages is that of when the directory was listed. Nothing is done where not all of the
    directory is known, or where others change it at the same time.
    """
    since = tiers.snapshot()
    revalidation = tiers.revalidate()
    root = tiers.cached(namespace, namespace.root, revalidation)
    if root is None:
        return
    expiry, bits = root.expiry, root.page.bits
    listing, seal = Listing(), namespace.write_seal
    for number in range(1 << bits):
        key = page_key(namespace, number) if bits else namespace.root
        cached = tiers.cached(namespace, key, revalidation)
        if cached is None or cached.page.fill != root.page.fill:
            return
        references = (
            {}
            if seal is None
            else cached.page.write_references(seal, namespace.identity)
        )
        listing.add_page(cached.page, references)
        expiry = min(expiry, cached.expiry)
    keep_listing(tiers, namespace, since, expiry, listing)
