"""Files of object stores that are opened by who knows their size."""

from __future__ import annotations

from typing import Protocol

from tahoestorage.backends.storedfile import Reader, StoredFile


class Readable(Protocol):
    """A storage whose files can be read so."""

    def reader_of(self, name: str, size: int | None = None) -> Reader:
        """Return what reads a file."""


def open_known(storage: Readable, name: str, size: int) -> StoredFile:
    """Open a file for reading whose size in bytes the caller knows.

    The cache is not asked for it then, nor told what reading shows: that would be a
    write for each file that is read once. One that keeps contents is, for these. That
    there is no such file is shown by reading, too.
    """
    return StoredFile(_Known(storage, size), name, "rb")


class _Known:
    """What a storage gives a file that is opened so: a reader, and nothing else."""

    def __init__(self, storage: Readable, size: int) -> None:
        self._storage, self._size = storage, size

    def prepare_file(self, name: str, _mode: str) -> Reader | None:
        """Return what reads the file. Raises what opening it does."""
        return self._storage.reader_of(name, self._size)

    def publish_file(self, file: StoredFile) -> None:
        """Raise: nothing is written here."""
        raise NotImplementedError
