"""Django's storage API over an object store with a cache.

``exists``, ``size``, ``open``, ``save``, ``delete`` and the times are here, for S3 and
Google Cloud Storage alike. Listings and URLs are in the ``storage.py`` of each.
"""

from __future__ import annotations

import contextlib
import functools
import posixpath
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.utils import validate_file_name

from tahoestorage.backends import digests
from tahoestorage.backends.content import announced_size, file_of, repeatable
from tahoestorage.backends.lookups import Lookups
from tahoestorage.backends.names import is_plain, normal, path_of
from tahoestorage.backends.objectreader import ObjectReader
from tahoestorage.backends.objectstore import TRIAL, is_hidden
from tahoestorage.backends.saving import is_ours
from tahoestorage.backends.storedfile import Reader, StoredFile
from tahoestorage.cache import MISSING
from tahoestorage.config.settings import use_tz
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    NameIsDirectory,
    NameTaken,
    StoreError,
    StoreForbids,
    StoreUnreachable,
)
from tahoestorage.parts import Fetch, Part

# The names that the store of a storage refused within a save by it; None where it is
# asked before it.
_refused: ContextVar[tuple[object, set[str]] | None]
_refused = ContextVar("refused", default=None)


class Cached(Lookups):
    """The methods of Django's storage API that all object stores share.

    To be named before a class of django-storages. It adds two options: ``cache``, as
    TahoeStorage has it, and ``allow_overwrite``, another name of ``file_overwrite``,
    which is False by default.
    """

    # Of django-storages' classes.
    gzip: Any
    gzip_content_types: Any

    always_tells_packing = True
    """Whether each response, not only the first one, says how an object is packed."""

    def exists(self, name: str) -> bool:
        """Return whether there is an object of this name. A mere prefix is none.

        The cache knows it, or else one request.
        """
        name = str(name)
        if not self._known_path(name).path:
            return False
        return self.entry(self._spelled(name, confirm=False)) is not None

    def size(self, name: str) -> int:
        """Return the size of a file in bytes, as it is stored. Raises FileMissing."""
        return int(self._whole(str(name), "size"))

    def get_modified_time(self, name: str) -> datetime:
        """Return when the object was last written. Raises FileMissing."""
        return self._time(self._whole(str(name), "modified"))

    def get_accessed_time(self, name: str) -> datetime:
        """Raise NotImplementedError: no store of objects keeps it."""
        raise NotImplementedError("Object stores do not keep when a file was read.")

    def _whole(self, name: str, figure: str) -> float:
        """Return a figure of a file, "size" or a time, of the store if need be."""
        check_file(name)
        name = self._spelled(name)
        cached = getattr(self.file_entry(name), figure)
        if cached is None:
            # Of what was saved just now, the cache knows only what was sent.
            cached = getattr(self._ask(name, self._item(name)), figure)
        if cached is None:
            raise FileMissing(f"{name}: there is no such file")
        return float(cached) if figure != "size" else cached

    def whole_entry(self, name: str) -> Entry:
        """Return the entry of a file, with its size and the time of its last write.

        The store is asked where the cache lacks one of them, so that all of the entry
        is of one content. Raises FileMissing.
        """
        check_file(name)
        name = self._spelled(name)
        entry = self.file_entry(name)
        if None in (entry.size, entry.modified):
            entry = self._ask(name, self._item(name))
        return entry

    @staticmethod
    def _time(seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC if use_tz() else None)

    def _spelled(self, name: str, *, confirm: bool = True) -> str:
        """Return the name of a file as the store has it, else as a save writes it.

        Others may have put objects there whose names are not in NFC, or end in "/". A
        look-up is needed only where ``name`` is not as a save would write it; without
        ``confirm`` the cache is believed that there is no such object.
        """
        if is_plain(name):
            return name
        # While the store is away, what is known of the name as it is counts. Where the
        # look-up is forbidden, what was asked for may be allowed.
        with contextlib.suppress(StoreUnreachable, StoreForbids):
            if self._is_odd(name) and self.entry(name, confirm=confirm) is None:
                return saved_name(name)
        return name

    def _is_odd(self, name: str) -> bool:
        """Whether a save would write to another key than that of ``name``."""
        if is_plain(name):
            return False
        saved = saved_name(name)
        return bool(saved) and self.key_of(saved) != self.key_of(name)

    def _shown(self, name: str) -> str:
        """Return the name that stands in a URL.

        One that ends in "/" stays as it is: pages append to it. So does one of which
        the store can't be asked: a URL needs no store.
        """
        check_file(name)
        if not is_plain(name) and not name.endswith("/"):
            with contextlib.suppress(StoreError):
                return self._spelled(name)
        return name

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        return StoredFile(self, str(name), mode)

    def prepare_file(self, name: str, mode: str) -> Reader | None:
        check_file(name)
        if mode.startswith("r"):
            return self.reader_of(name)
        if mode.startswith("x"):
            self._refuse_odd(name)
            if self.entry(saved_name(name)) is not None:
                raise NameTaken(f"{name}: the name is taken")
        return None

    def _refuse_odd(self, name: str) -> None:
        """Raise NameTaken where others have put an object by a name no save gives."""
        if self._is_odd_object(name):
            raise NameTaken(f"{name}: the name is taken")

    def _is_odd_object(self, name: str) -> bool:
        """Whether others have put an object there by a name that no save gives.

        The store is asked only where a save would give another name than this one.
        """
        with contextlib.suppress(StoreUnreachable, StoreForbids):
            return self._is_odd(name) and self.entry(name, confirm=True) is not None
        return False

    def reader_of(self, name: str, size: int | None = None) -> Reader:
        """Return what reads a file; with ``size``, what `open_known` has it read."""
        check_file(name)
        return self._reader(self._spelled(name), size)

    def _reader(self, name: str, size: int | None = None) -> Reader:
        key, item = self.key_of(name), self._item(name)
        contents = self._entries.contents
        will_do = size is not None and contents is None
        known = Entry(EntryKind.FILE, "", size) if will_do else None
        cached = known or self._cached(name, item)

        def fetch(first: int, last: int, reference: str | None) -> Part:
            ticket = None if known or reference else self._entries.ticket()
            part = self.fetch_object(key, first, last, reference, name)
            if ticket is not None and not _tells_all_of(cached, part.entry):
                self._fill(ticket, item, part.entry)
            return part

        entry = cached if isinstance(cached, Entry) else None
        read: Fetch = fetch
        if contents is not None:
            # What counts as packed hangs on the options.
            types = sorted(self.gzip_content_types) if self.gzip else []
            ours = item.item(f" packs {types}" if types else "")
            kept = None if entry is None else contents.open(ours, entry)
            if kept is not None:
                return kept
            keeping = contents.keeping(fetch, ours)

            def read(first: int, last: int, reference: str | None) -> Part:
                tells = reference is None or self.always_tells_packing or not self.gzip
                return (keeping if tells else fetch)(first, last, reference)

        reader = ObjectReader(read, name, entry)
        if entry is None:
            try:
                reader.begin()
            except StoreUnreachable:
                reader = ObjectReader(read, name, self.file_entry(name))
        return reader

    def save(
        self, name: str | None, content: Any, max_length: int | None = None
    ) -> str:
        """Save content under a free name, in NFC, and return that name.

        Where others have put an object there by just the name that is given, and that
        is not in NFC, it counts as taken; with ``allow_overwrite`` it is replaced.
        """
        size = announced_size(file_of(content))
        without = size is not None and self.is_sent_whole(size)
        # A subclass's own way to save may refuse no taken name.
        without = without and is_ours(self, "exists", "_save", "write", "put_object")
        before = _refused.set((self, set()) if without else None)
        try:
            return self._save_by(name, content, max_length)
        finally:
            _refused.reset(before)

    def _save_by(self, name: str | None, content: Any, max_length: int | None) -> str:
        given = str(getattr(content, "name", "") if name is None else name)
        if normal(given) == given or given.endswith("/"):
            return super().save(name, content, max_length)
        validate_file_name(given, allow_relative_path=True)
        if not self._is_odd_object(given):
            return super().save(name, content, max_length)
        if not self._overwrites:
            root, extension = posixpath.splitext(given)
            another = self.get_alternative_name(root, extension)
            return super().save(another, content, max_length)
        if max_length is not None and len(given) > max_length:
            raise SuspiciousFileOperation(f"{given!r} is longer than {max_length}")
        self.write(given, file_of(content), replace=True)
        return given

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Whether a save may use this name, as far as is known.

        Within a save of a small file the store is not asked: it refuses the file where
        the name is taken. A large one would be sent twice then.
        """
        storage, refused = _refused.get() or (None, set())
        if storage is not self:
            return super().is_name_available(name, max_length)
        if max_length and len(name) > max_length:
            return False
        if self._overwrites:
            return True
        cached = self._cached(name, self._item(name))
        return name not in refused and not isinstance(cached, Entry)

    def create(self, name: str, content: Any, *, unique: bool = False) -> str:
        """Save content by just this name, in NFC. Raises NameTaken.

        The name is taken in either Unicode form. The rest is as ``Saving.create`` says.
        """
        self._refuse_odd(str(name))
        return super().create(name, content, unique=unique)

    def _save(self, name: str, content: Any) -> str:
        def put(name: str) -> None:
            try:
                self.write(name, content, replace=self._overwrites)
            except NameTaken:
                storage, refused = _refused.get() or (None, set())
                if storage is self:
                    refused.add(name)
                raise

        name, content = saved_name(str(name)), file_of(content)
        if self._overwrites:
            return self._by_free_name(name, put)
        with repeatable(content) as content:
            return self._by_free_name(name, put)

    def _create_file(self, name: str, content: Any, *, unique: bool) -> str:
        name = saved_name(name)
        # By a condition, content goes through a temporary file in some stores.
        looks = unique and not (
            self.trusts_conditions or self.refuses_at_once(name, content)
        )
        if looks:
            check_file(name)
            with contextlib.suppress(FileMissing):
                self.stat_object(self.key_of(name), name)
                raise NameTaken(f"{name}: the name is taken")
        self.write(name, content, replace=looks)
        return name

    def write(self, name: str, content: Any, *, replace: bool) -> None:
        """Write a file by just this name; ``save`` would look for a free one.

        Without ``replace`` raises NameTaken where the name is taken.
        """
        check_file(name)
        with self._changing(name) as became:
            became(self.put_object(self.key_of(name), content, name, replace=replace))

    def publish_file(self, file: StoredFile) -> None:
        name = str(file.name)
        if file.mode.startswith("x"):
            self._refuse_odd(name)
            self.write(saved_name(name), file.content(), replace=False)
        else:
            # What is there by just this name is replaced.
            self.write(self._spelled(name), file.content(), replace=True)

    def delete(self, name: str) -> None:
        """Delete a file. It is no error if there is none.

        Where no object has just this name, that in NFC is deleted. A name that ends in
        "/" stands for just that object: a folder's mark, and never the file beside it.
        """
        if not name:
            raise ValueError("The name must be given to delete().")
        name = str(name)
        mark = self.key_of(name).endswith("/")
        self._discard(name if mark else self._spelled(name))

    def _discard(self, name: str, only: str | None = None) -> None:
        """Delete a file; with ``only`` just the content of that reference."""
        check_file(name)
        with self._changing(name) as became:
            if self.delete_object(self.key_of(name), name, only=only):
                became(MISSING)

    # Beyond Django's API

    def has_content(self, name: str, content: File[Any]) -> bool | None:
        """Return whether a file has this content; None where the store can't tell.

        The digests that the store tells are compared: no request where the entry is
        cached. ``content`` is read to its end, and packed or divided into parts as a
        save would.
        """
        name = self._spelled(name)
        entry = self.entry(name)
        if entry is None:
            return False
        cached = self.stored_digests(entry)
        if not cached:
            return None
        return digests.is_one_of(self.as_stored(self.key_of(name), content), cached)

    def copy(self, source: str, target: str) -> str:
        """Copy a file within the store, and return the name of the copy.

        Nothing is overwritten. Raises FileMissing, and NameTaken.
        """
        self._duplicate(self._spelled(source), target)
        return saved_name(target)

    def move(self, source: str, target: str) -> str:
        """Copy a file within the store, delete the old one, and return the new name.

        ``source`` is the very name that the store has, in this Unicode form, so that a
        move that is repeated takes no other file. Nothing is overwritten. Raises
        FileMissing, and NameTaken. Interrupted half way, both remain. They also remain
        if somebody replaces the old one meanwhile, where the store deletes under a
        condition, as Amazon's and Google's do. A store that ignores the condition
        deletes what was written meanwhile.
        """
        reference = self._duplicate(source, target)
        self._discard(source, only=reference)
        return saved_name(target)

    def _duplicate(self, source: str, target: str) -> str:
        """Copy a file, and return the reference of what was copied."""
        check_file(target)
        _refuse_hidden(source, path_of(source))
        target = saved_name(target)
        with self._changing(target):
            label = f"{source} to {target}"
            return self.copy_object(self.key_of(source), self.key_of(target), label)


def saved_name(name: str) -> str:
    """Return the name by which a file is written: in NFC, without a slash at its end.

    So FileSystemStorage and TahoeStorage take ``a/`` for ``a``.
    """
    return "/".join(path_of(name))


@functools.lru_cache(maxsize=1 << 14)
def check_file(name: str) -> None:
    """Raise NameIsDirectory for the root, which is no file.

    Raises SuspiciousFileOperation for the names that are the storage's own.
    """
    path = path_of(name)
    if not path:
        raise NameIsDirectory("the root is a directory, and no file")
    _refuse_hidden(name, path)


def _refuse_hidden(name: str, path: tuple[str, ...]) -> None:
    if path and is_hidden(path[-1]):
        raise SuspiciousFileOperation(
            f"{name!r} begins with {TRIAL!r}, as the names do by which the storage "
            "tries its store; nothing of yours can have that name"
        )


def _tells_all_of(cached: object, entry: Entry) -> bool:
    """Whether what is known is of the same object, and says what ``entry`` does."""
    if not isinstance(cached, Entry) or cached.reference != entry.reference:
        return False
    return cached.modified is not None or entry.modified is None
