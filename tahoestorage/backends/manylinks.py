"""Saves many files on a grid at once: uploads them, then links them together."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.files.utils import validate_file_name

from tahoestorage.backends.content import body_of
from tahoestorage.backends.reservednames import grid_path
from tahoestorage.tahoe.caps import Cap

if TYPE_CHECKING:
    from tahoestorage.backends.tahoe import TahoeStorage


class ManyLinks:
    """The part of a storage that saves many files at once."""

    def __init__(self, storage: TahoeStorage) -> None:
        self._storage = storage
        self.link = storage.link_together

    def free_name(self, name: str, is_chosen: Callable[[str], bool]) -> str:
        """Return a free name for ``name``, for which ``is_chosen`` is False."""
        storage = self._storage
        free = self._as_stored(storage.get_available_name(name))
        while is_chosen(free):
            root, extension = posixpath.splitext(free)
            another = storage.get_alternative_name(root, extension)
            free = self._as_stored(storage.get_available_name(another))
        return free

    @staticmethod
    def _as_stored(name: str) -> str:
        validate_file_name(name, allow_relative_path=True)
        return "/".join(grid_path(name))

    def send(self, name: str, content: Any) -> Cap:
        """Upload content that no name leads to yet."""
        return self._storage.upload(name, body_of(content))
