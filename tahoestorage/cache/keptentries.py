"""A resolved entry in memory, with the pages it depends on."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, Protocol
from weakref import ReferenceType

from tahoestorage.cache.memory import CachedPage
from tahoestorage.cache.sealing import Namespace
from tahoestorage.entries import Entry


class HasNamespace(Protocol):
    """A directory, as its store has it."""

    @property
    def namespace(self) -> Namespace:
        """How the cache knows it."""


class KeptEntry(NamedTuple):
    """An entry, the pages in memory that tell it, and where the way to it led.

    ``root`` is the page that says how many pages the directory has. Memory alone keeps
    the pages: many entries must not hold what it has dropped.
    """

    entry: Entry
    namespace: Namespace
    root: ReferenceType[CachedPage]
    key: bytes
    page: ReferenceType[CachedPage]
    parent: Hashable | None
    directory: HasNamespace
