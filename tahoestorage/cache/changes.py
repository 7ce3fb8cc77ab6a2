"""Marks a name in the cache as unknown while a write to it is under way."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from tahoestorage.cache.pages import Absent, Page, bucket, page_number
from tahoestorage.cache.sealing import Namespace, page_key
from tahoestorage.cache.tiers import Load, Tiers
from tahoestorage.entries import Entry


class Change:
    """One write to one name, from before it is sent until its response is in.

    The name is marked for as long, and for good if ``done`` is never called: of a
    marked name nothing is known, and the store is asked.
    """

    def __init__(self, tiers: Tiers[Any], namespace: Namespace, name: str) -> None:
        self._tiers = tiers
        self._namespace = namespace
        self._name = name
        self._mark = secrets.token_hex(8)
        tiers.patch(namespace, self._mark_it)

    def _found(self, load: Load) -> tuple[bytes, Page] | None:
        namespace = self._namespace
        root = load(namespace.root)
        if root is None:
            return None
        if root.bits == 0:
            return namespace.root, root
        key = page_key(namespace, page_number(bucket(self._name), root.bits))
        page = load(key)
        return (key, page) if page is not None and page.fill == root.fill else None

    def _mark_it(self, load: Load) -> Iterator[tuple[bytes, Page]]:
        found = self._found(load)
        if found is not None:
            yield found[0], found[1].with_entry(self._name, self._mark)

    def done(
        self, cached: Entry | Absent | None, write_reference: str | None = None
    ) -> None:
        """Note how the write ended: the new entry, MISSING, or None for unknown.

        Whoever else wrote the same name meanwhile may have been before or after:
        then the name stays unknown.
        """
        namespace, name = self._namespace, self._name

        def settle(load: Load) -> Iterator[tuple[bytes, Page]]:
            found = self._found(load)
            if found is None:
                return
            key, page = found
            if cached is None or page.mark(name) != self._mark:
                yield key, page.with_entry(name, secrets.token_hex(8))
                return
            page = page.with_entry(name, cached)
            # Not the one of what had the name before.
            if namespace.write_seal is not None and (write_reference or page.secrets):
                page = page.with_write_reference(
                    name, write_reference, namespace.write_seal, namespace.identity
                )
            yield key, page

        self._tiers.patch(namespace, settle)
