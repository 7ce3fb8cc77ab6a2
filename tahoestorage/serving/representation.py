"""A stored file as HTTP sees it: its size, validators and content (RFC 9110, 3.2)."""

from __future__ import annotations

import contextlib
import mimetypes
import os
import stat
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import Storage

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.knownfile import open_known
from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.backends.saving import is_ours
from tahoestorage.backends.storedfile import StoredFile
from tahoestorage.config.settings import secret_key
from tahoestorage.entries import Entry
from tahoestorage.exceptions import FileMissing, TimeUnknown
from tahoestorage.serving.streams import BodyPart
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap

# Bytes. S3 and Google Cloud Storage have no longer names; and a gateway refuses a
# request with a longer path.
LONGEST_KEY = 1024
LONGEST_PATH = 4096


class ObjectChanged(Exception):
    """The file was replaced after the cache was filled."""


class Packed(ObjectChanged):
    """The file is stored gzipped, which only reading it showed."""


@dataclass
class Representation:
    """A file's size and validators; it is opened when its content is needed.

    ``size`` is in bytes, None where only reading shows it. ``etag`` is quoted and
    strong (RFC 9110, 8.8.3), ``modified`` in whole seconds since 1970. ``reference`` is
    the version that the cache has of it, a secret: what is read must be that version.
    """

    storage: Storage
    name: str
    size: int | None
    etag: str | None = None
    modified: int | None = None
    reference: str | None = field(default=None, repr=False)
    file: File[Any] | None = None
    may_be_packed: bool = False
    """Whether the file may be gzipped, and ``size`` not that of its content."""
    is_known: bool = False
    """Whether the site told what is here: then no cache is asked, nor told of it."""

    def part(self, first: int = 0, end: int | None = None) -> BodyPart:
        """Return the bytes from ``first`` up to ``end``, of which a block is read.

        Raises ObjectChanged, its subclass Packed, and what opening and reading raise.
        """
        file, self.file = self.file or self._open(), None
        try:
            stop = self.size if end is None else end
            if isinstance(file, StoredFile) and stop is not None:
                file.seek_part(first, stop)
            elif first:
                file.seek(first)
            try:
                return BodyPart(file, None if stop is None else stop - first)
            finally:
                self._check(file)
        except BaseException:
            file.close()
            raise

    def _open(self) -> File[Any]:
        storage, size = self.storage, self.size
        is_known = self.is_known and _opens_as_ours(storage)
        if is_known and size is not None and isinstance(storage, Cached):
            return open_known(storage, self.name, size)
        return storage.open(self.name)

    def _check(self, file: File[Any]) -> None:
        if not isinstance(file, StoredFile):
            return
        read = file.reference
        if None not in (read, self.reference) and read != self.reference:
            raise ObjectChanged
        # Of what was read; who has read nothing need not ask.
        if read is not None and self.size is not None and file.is_packed:
            raise Packed

    def close(self) -> None:
        """Close the file, if it is open."""
        if self.file is not None:
            self.file.close()


def representation_of(
    storage: Storage, name: str, *, packed: bool = False
) -> Representation:
    """Return a file's size and validators, without a request where they are cached.

    With ``packed``, and in a storage with ``gzip``, the file is opened to see whether
    it is gzipped.

    Raises FileNotFoundError, IsADirectoryError, SuspiciousFileOperation, and what the
    storage raises where the store can't be asked.
    """
    if isinstance(storage, TahoeStorage):
        _check_length(name, LONGEST_PATH)
        entry = storage.file_entry(name)
        cap = Cap.parse(entry.reference)
        if cap.is_mutable:
            return open_representation(storage, name)
        size, modified = cap.size, entry.modified
    elif isinstance(storage, Cached):
        _check_length(storage.key_of(name), LONGEST_KEY)
        entry = storage.whole_entry(name)
        size, modified = entry.size, entry.modified
    else:
        return open_representation(storage, name)
    if modified is None:
        # What other tools have linked may have no time.
        with contextlib.suppress(TimeUnknown):
            modified = storage.get_modified_time(name).timestamp()
    seconds = None if modified is None else int(modified)
    stored = Representation(storage, name, size, _etag(entry), seconds, entry.reference)
    if packed or getattr(storage, "gzip", False):
        stored.file = file = storage.open(name)
        if isinstance(file, StoredFile) and file.is_packed:
            stored.size = None
    elif isinstance(storage, ObjectStore):
        stored.may_be_packed = _may_be_packed(storage, name)
    return stored


def known_representation(
    storage: Storage, name: str, size: int, etag: str, modified: int
) -> Representation | None:
    """Return a file's size and validators as the site knows them: no request is made.

    None where they do not do: a grid is asked for the cap in any case, a disk is asked
    quickly, and a storage with ``gzip`` does not store as many bytes. Whether there is
    such a file reading shows.
    """
    if not isinstance(storage, Cached) or getattr(storage, "gzip", False):
        return None
    _check_length(storage.key_of(name), LONGEST_KEY)
    stored = Representation(storage, name, size, etag, modified, is_known=True)
    stored.may_be_packed = _may_be_packed(storage, name)
    return stored


def _opens_as_ours(storage: Storage) -> bool:
    # A subclass's own way to open may decrypt, for one.
    is_djangos = type(storage).open is Storage.open
    return is_djangos and is_ours(storage, "_open", "prepare_file")


def _may_be_packed(storage: ObjectStore, name: str) -> bool:
    # Another storage of the bucket may pack files of these types, and mark them.
    types = getattr(storage, "gzip_content_types", ())
    return mimetypes.guess_type(name)[0] in types


def _check_length(name: str, longest: int) -> None:
    if len(name.encode(errors="replace")) > longest:
        raise FileMissing("no file has a name of that length")


def open_representation(storage: Storage, name: str) -> Representation:
    """Open a file; return it with the size and validators of just this version.

    Raises what opening it does, and SuspiciousFileOperation for a NUL in the name.
    """
    if "\0" in name and not isinstance(storage, TahoeStorage | Cached):
        raise SuspiciousFileOperation("a name has no NUL in it")
    file = storage.open(name)
    try:
        return _opened(storage, name, file)
    except BaseException:
        file.close()
        raise


def _opened(storage: Storage, name: str, file: File[Any]) -> Representation:
    if isinstance(file, StoredFile):
        # Its content can change, or just did: no validator tells its versions apart.
        return Representation(
            storage, name, None if file.is_packed else file.size, file=file
        )
    # Of just this file, which may be replaced meanwhile.
    with contextlib.suppress(AttributeError, OSError):
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            seconds = int(status.st_mtime)
            return Representation(
                storage, name, status.st_size, etag, seconds, file=file
            )
    stored = Representation(storage, name, file.size, file=file)
    with contextlib.suppress(NotImplementedError):
        modified = storage.get_modified_time(name).timestamp()
        stored.etag = f'"{int(modified * 1e6):x}-{stored.size:x}"'
        stored.modified = int(modified)
    return stored


def _etag(entry: Entry) -> str | None:
    """Return an ETag that says nothing of the reference, which is a secret."""
    if not entry.reference:
        return None
    key = blake2b(secret_key(), person=b"tahoe-etag").digest()
    digest = blake2b(entry.reference.encode(), digest_size=16, key=key).hexdigest()
    return f'"{digest}"'
