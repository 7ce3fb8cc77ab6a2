"""S3 and Google Cloud Storage as the source or target of a copy."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.base import File

from tahoestorage.backends import digests
from tahoestorage.backends.cached import Cached
from tahoestorage.backends.digests import MD5, PARTS
from tahoestorage.backends.names import normal
from tahoestorage.backends.objectstore import is_hidden
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import FileMissing
from tahoestorage.moving.names import FolderMark, NameRules, utf8
from tahoestorage.moving.store import Found, Stat, Store

# Of both; Google allows neither CR nor LF.
KEY_BYTES = 1024


class Objects(Store):
    """Objects of an S3Storage or GCSStorage.

    They are listed a thousand keys a request, and no request is made for a single file
    that need not be copied.
    """

    rules = NameRules(nfc=True, encode=utf8)

    def __init__(self, storage: Cached) -> None:
        super().__init__(storage)
        self._base = storage.key_prefix
        google = any(
            kind.__name__ == "GoogleCloudStorage" for kind in type(storage).mro()
        )
        self.rules = NameRules(
            nfc=True,
            encode=utf8,
            name_bytes=KEY_BYTES - len(self._base.encode()),
            forbidden="\r\n" if google else "",
        )

    def overlaps(self, other: Store) -> bool:
        """Whether both are in one bucket, and one location is the other, or in it."""
        if not isinstance(other, Objects):
            return False
        here, there = self._base, other._base
        nested = here.startswith(there) or there.startswith(here)
        return nested and self._bucket == other._bucket

    @property
    def _bucket(self) -> list[str]:
        """The identity of the bucket, without the location in it."""
        identity: list[str] = self.storage.identity()
        return identity[: identity.index(str(self.storage.bucket_name)) + 1]

    def realm(self) -> Hashable:
        return "bucket", *self._bucket

    def key(self, name: str) -> str:
        # A site may have a name in another form than the object.
        return normal(self.storage.key_of(name))

    def base(self) -> str:
        return normal(self._base)

    def where(self) -> str:
        return f"the bucket {self.storage.bucket_name}, below {self._base!r}"

    def ready(self, prefix: str) -> AbstractContextManager[None]:
        block: AbstractContextManager[None] = self.storage.prefetch(prefix)
        return block

    def refuses(self, name: str) -> str | None:
        error = self.rules.error(name)
        if error is not None:
            return error
        if is_hidden(name):
            return "it is a name of this package's own, by which a store is tried"
        try:
            key = self.storage.key_of(name)
        except (SuspiciousOperation, ValueError):
            return "it leads out of the location"
        return None if key == self._base + name else f"it would be kept as {key!r}"

    def walk(self, prefix: str = "", avoid: Hashable = None) -> Iterator[Found]:
        try:
            for name, entry in self.storage.listed(prefix):
                if name.endswith("/") and entry.size == 0:
                    yield Found(name, error=FolderMark("it is a mark for a folder"))
                else:
                    yield Found(name, _stat(entry))
        except Exception as error:
            yield Found("", error=error)

    def walk_once(self, avoid: Iterable[Hashable] = ()) -> Iterator[Found]:
        return self.walk()

    def stat(self, name: str) -> Stat | None:
        try:
            return _stat(self.storage.stat_object(self.storage.key_of(name), name))
        except FileMissing:
            return None

    def lookup(self, name: str) -> Stat | None:
        entry = self.storage.entry(name)
        return None if entry is None else _stat(entry)

    def digests(self, stat: Stat) -> Mapping[str, bytes]:
        if not stat.version:
            return {}
        entry = Entry(EntryKind.FILE, stat.version, stat.size)
        found: dict[str, bytes] = {}
        # Of what was uploaded in parts, by the length of a part; not of packed objects.
        if not getattr(self.storage, "gzip", False) and entry.size is not None:
            found |= digests.of_parts(entry.reference, entry.size, PARTS)
        md5 = self.storage.content_md5(entry)
        if md5 is not None:
            found[MD5] = bytes.fromhex(md5)
        return found

    def write(self, name: str, content: File[Any], *, replace: bool) -> None:
        # Not save() nor open(): neither takes exactly one name and needs no disk.
        self.storage.write(name, content, replace=replace)


def _stat(entry: Entry) -> Stat:
    return Stat(entry.size, entry.modified, entry.modified, entry.reference)
