"""Marks names in the cache as unknown while a write to them is under way."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from tahoestorage.cache.fillings import spread
from tahoestorage.cache.pages import PAGE_ENTRIES, Absent, Page, bucket, page_number
from tahoestorage.cache.sealing import Namespace, page_key
from tahoestorage.cache.tiers import BATCH, Load, Tiers
from tahoestorage.entries import Entry

CROWDED = 8 * PAGE_ENTRIES
"""A page that gets so many names has the directory spread over more pages."""

EditPage = Callable[[Page, list[str]], Page]
"""Returns a page anew, in which something is to be noted of some names."""


class ManyChanges:
    """One write to names of one directory, from before it is sent until its response.

    The names are marked for as long, and for good if ``done`` is never called: of a
    marked name nothing is known, and the store is asked. A page is written once when
    its names are marked, and once when they are done, however many they are. ``alone``
    says that the namespace has no other names than these. Namespaces that are
    ``forgotten`` are invalidated both times.
    """

    def __init__(
        self,
        tiers: Tiers[Any],
        namespace: Namespace,
        names: Iterable[str],
        *,
        alone: bool = False,
        forgotten: Sequence[Namespace] = (),
    ) -> None:
        self._tiers = tiers
        self._namespace = namespace
        self._forgotten = forgotten
        # In the order of the pages, whatever number of pages there is.
        self._names = sorted((bucket(name), name) for name in names)
        self._mark = secrets.token_hex(8)
        self._is_crowded = False
        if alone and tiers.makes_pages:
            # A page of its own, so that what is new is kept where nothing was known.
            page = self._marked(Page(b""), [name for _, name in self._names])
            pages = [(namespace.root, page)]
            tiers.patch(namespace, lambda load: iter(pages), forgotten)
        else:
            self._edit(self._marked)

    def _edit(self, edit_page: EditPage) -> None:
        """Edit all pages that have some of the names, a few under one lock.

        Between two locks others may keep another listing. One that was requested before
        the write was sent has no marks, and ``done`` leaves the names unknown; one that
        was requested after the response has all that was written.
        """
        names = self._names
        while names:
            count = 0

            def edit(
                load: Load, names: list[tuple[int, str]] = names
            ) -> Iterator[tuple[bytes, Page]]:
                nonlocal count
                # It may be called again, where others were quicker.
                count = 0
                root = load(self._namespace.root)
                if root is None:
                    return
                bits = root.bits
                groups = groupby(names, lambda each: page_number(each[0], bits))
                for number, group in islice(groups, BATCH):
                    some = [name for _, name in group]
                    count += len(some)
                    key, page = self._namespace.root, root
                    if bits:
                        key = page_key(self._namespace, number)
                        loaded = load(key)
                        if loaded is None or loaded.fill != root.fill:
                            continue
                        page = loaded
                    yield key, edit_page(page, some)

            self._tiers.patch(self._namespace, edit, self._forgotten)
            # None where nothing is known of the directory.
            names = names[count:] if count else []

    def _marked(self, page: Page, names: list[str]) -> Page:
        marked = page.with_entries(dict.fromkeys(names, self._mark))
        # Not at each one: where it can't be spread, that is not tried again at once.
        self._is_crowded |= len(page) // CROWDED < len(marked) // CROWDED
        return marked

    def done(
        self,
        found: Mapping[str, Entry | Absent],
        write_references: Mapping[str, str] | None = None,
    ) -> None:
        """Note how the write ended: the new entries, or MISSING; others are unknown.

        Whoever else wrote the same name meanwhile may have been before or after: then
        the name stays unknown.
        """
        references, namespace = write_references or {}, self._namespace

        def settle(page: Page, names: list[str]) -> Page:
            ours = page.marked(self._mark)
            known = [name for name in names if name in ours and name in found]
            values: dict[str, Entry | Absent | str]
            values = {name: secrets.token_hex(8) for name in names}
            values.update((name, found[name]) for name in known)
            page = page.with_entries(values)
            seal = namespace.write_seal
            # Not those of what had the names before.
            new = {name: references.get(name) for name in known}
            if seal is None or not (page.secrets or any(new.values())):
                return page
            return page.with_write_references(new, seal, namespace.identity)

        self._edit(settle)
        if self._is_crowded:
            spread(self._tiers, namespace)


class Change:
    """One write to one name: see ManyChanges."""

    def __init__(
        self,
        tiers: Tiers[Any],
        namespace: Namespace,
        name: str,
        *,
        alone: bool = False,
        forgotten: Sequence[Namespace] = (),
    ) -> None:
        self._name = name
        self._changes = ManyChanges(
            tiers, namespace, [name], alone=alone, forgotten=forgotten
        )

    def done(
        self, cached: Entry | Absent | None, write_reference: str | None = None
    ) -> None:
        """Note how the write ended: the new entry, MISSING, or None for unknown."""
        self._changes.done(
            {} if cached is None else {self._name: cached},
            {} if write_reference is None else {self._name: write_reference},
        )
