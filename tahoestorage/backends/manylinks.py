"""Saves many files on a grid at once: uploads them, then links them together."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.files.utils import validate_file_name

from tahoestorage.backends.content import body_of
from tahoestorage.backends.names import normal
from tahoestorage.backends.reservednames import grid_path
from tahoestorage.backends.savingmany import Sender
from tahoestorage.backends.savingtogether import save_together
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.directories import Directory
from tahoestorage.tahoe.links import Replace

if TYPE_CHECKING:
    from tahoestorage.backends.tahoe import TahoeStorage


class ManyLinks:
    """The part of a storage that saves many files at once."""

    def __init__(self, storage: TahoeStorage) -> None:
        self._storage = storage
        self._overwrites = bool(storage.options.allow_overwrite)

    def save_all(
        self, pairs: Iterable[tuple[str | None, Any]], sender: Sender
    ) -> Iterator[str]:
        """Save pairs of name and content; yield the names: see ``save_together``."""
        return save_together(self, pairs, sender)

    def free_name(self, name: str, is_chosen: Callable[[str], bool]) -> str:
        """Return a free name for ``name``, for which ``is_chosen`` is False.

        Where a save overwrites it is that name: of two files the later one stays.
        """
        storage = self._storage
        free = self._as_stored(storage.get_available_name(name))
        while is_chosen(free) and not self._overwrites:
            root, extension = posixpath.splitext(free)
            another = storage.get_alternative_name(root, extension)
            free = self._as_stored(storage.get_available_name(another))
        return free

    @staticmethod
    def _as_stored(name: str) -> str:
        validate_file_name(name, allow_relative_path=True)
        return "/".join(grid_path(name))

    def count_in(self, directory: str) -> int:
        """Return about how many names a directory has, 0 where that is not known."""
        directories = self._storage.directories
        here = directories.cached(grid_path(directory))
        if not isinstance(here, Directory):
            return 0
        return directories.cache.count_in(here.namespace)

    def send(self, name: str, content: Any) -> Cap:
        """Upload content that no name leads to yet; ``name`` is the one asked for."""
        name = self._as_stored(normal(name))
        return self._storage.upload(name, body_of(content))

    def link(self, caps: Mapping[str, Cap]) -> Mapping[str, Exception]:
        """Link uploads by their names; return what was not linked, and why."""
        replace: Replace = "only-files" if self._overwrites else "false"
        return self._storage.link_together(caps, replace)
