"""The source or target of a copy, by Django's API alone, and its files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.core.files.base import File
from django.core.files.storage import InMemoryStorage, Storage

from tahoestorage.backends.names import path_of
from tahoestorage.cache import from_the_store
from tahoestorage.exceptions import NameTaken
from tahoestorage.moving.names import BadName, FolderMark, NameRules
from tahoestorage.moving.throttle import BLOCK

# What is listed before any of it, so that a directory in itself is seen.
Trail = tuple[Hashable, "Trail | None"]


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store says of a file; None where it does not say.

    ``size`` is in bytes. The times are seconds since 1970: ``modified`` is when the
    content was written, ``changed`` when anything of the file last changed, which is
    as late or later. Two contents never have one ``version``, where a store has one.

    With ``changes_unseen`` the content may change without a change of time or version,
    as that of a mutable file on a grid: only size and content tell. It changed last at
    ``changed`` or later.
    """

    size: int | None
    modified: float | None
    changed: float | None
    version: str | None = field(default=None, repr=False)
    changes_unseen: bool = False

    def is_of_the_same(self, other: Stat) -> bool:
        """Whether both are of one content, as far as they say."""
        if self.version is not None and other.version is not None:
            # A listing and a request for one file may give different times.
            return (self.size, self.version) == (other.size, other.version)
        return self == other


class Twice(OSError):
    """A directory that was listed by another path already."""


class OtherStore(OSError):
    """A directory that another storage has as its root."""


class Found(NamedTuple):
    """A file that was found; or a place that can't be listed, and the ``error``."""

    name: str
    stat: Stat | None = None
    error: Exception | None = None


class Listed(NamedTuple):
    """The names in a directory, without its path, and which directory it is."""

    directories: list[str]
    files: Iterable[Found]
    place: Hashable = None


class Store:
    """Any storage, by Django's API alone.

    What a method raises is what the storage raises.
    """

    # Django and django-storages make "/" of it.
    rules = NameRules(forbidden="\\")
    packs = True
    """Whether files may be stored gzipped, so that ``size`` is not the content's."""
    follows_links = False
    """Whether ``key`` tells which file a name leads to, by whatever path."""
    is_near = False
    """Whether reading from it costs no request."""

    def __init__(self, storage: Storage) -> None:
        self.storage: Any = storage
        if isinstance(storage, InMemoryStorage):
            self.rules = NameRules(forbidden="\\\0", tree=True)
            self.packs = False
            self.is_near = True

    def overlaps(self, other: Store) -> bool:
        """Whether a file of one is in the other too."""
        return self.storage is other.storage

    def place(self) -> Hashable:
        """Return the identity of the root directory, as ``Listed.place`` has it."""
        return None

    def realm(self) -> Hashable:
        """Return what holds the files: keys of one realm name the same things."""
        if isinstance(self.storage, InMemoryStorage):
            return "memory", id(self.storage)
        return "unknown"

    def key(self, name: str) -> str:
        """Return what names a file within the realm, however ``name`` is spelled.

        Raises SuspiciousOperation or ValueError for what no file can have.
        """
        return "/".join(path_of(name.replace("\\", "/")))

    def base(self) -> str:
        """Return what the keys of all files here begin with."""
        return ""

    def where(self) -> str:
        """Return where the files are, in words for a message."""
        return "its location"

    def ready(self, prefix: str) -> AbstractContextManager[None]:
        """Return a context in which files are written here, names with ``prefix``.

        Raises what the storage raises where it can't take any file.
        """
        return contextlib.nullcontext()

    def refuses(self, name: str) -> str | None:
        """Return why no file can have this name here; None where one can."""
        return self.rules.error(name)

    def walk(self, prefix: str = "", avoid: Hashable = None) -> Iterator[Found]:
        """Yield every file whose name begins with ``prefix``, a directory at a time.

        A directory whose place is ``avoid``, or that is in itself, is not entered.
        Raises nothing: what can't be listed is yielded with the ``error``.
        """
        yield from self._walk(prefix, (avoid, None), None)

    def keeping_listings(self) -> AbstractContextManager[None]:
        """Return a context in which a walk keeps what it lists, for one more after it.

        As much of it as is of use, and a bounded memory has room for.
        """
        return contextlib.nullcontext()

    def walk_once(self, avoid: Iterable[Hashable] = ()) -> Iterator[Found]:
        """Yield every file, as ``walk`` does, and no directory by two paths.

        What leads to a directory by another path has the ``error`` Twice, unless keys
        tell that. A directory whose place is in ``avoid`` has the error OtherStore.
        """
        return self._walk("", None, set(avoid))

    def walk_directories(self) -> Iterator[tuple[str, int]]:
        """Yield each directory, the root ``""`` first, and how many names are in it.

        None twice, also where it is in itself; none below a name that can't be asked
        for, and none that is removed meanwhile. Raises what the storage raises.
        """
        pending, seen = [""], set[Hashable]()
        while pending:
            directory = pending.pop()
            try:
                listed = self._list(directory)
                count = len(listed.directories) + sum(1 for _ in listed.files)
            except FileNotFoundError:
                if directory:
                    continue
                raise
            if listed.place is not None:
                if listed.place in seen:
                    continue
                seen.add(listed.place)
            yield directory, count
            start = f"{directory}/" if directory else ""
            pending += [
                f"{start}{name}"
                for name in listed.directories
                if _unusable(name) is None
            ]

    def _walk(
        self, prefix: str, top: Trail | None, seen: set[Hashable] | None
    ) -> Iterator[Found]:
        pending: list[tuple[str, Trail | None]] = [(prefix.rpartition("/")[0], top)]
        elsewhere = frozenset(seen or ())
        while pending:
            directory, trail = pending.pop()
            base = f"{directory}/" if directory else ""
            try:
                listed = self._list(directory)
                if listed.place is not None:
                    if listed.place in elsewhere:
                        raise OtherStore("it is another storage's root")
                    if seen is not None:
                        if listed.place in seen and self.follows_links:
                            continue
                        if listed.place in seen:
                            raise Twice("it is in the store by another path, too")
                        seen.add(listed.place)
                    _check(listed.place, trail)
                    trail = (listed.place, trail)
            except FileNotFoundError as error:
                if not directory:
                    yield Found("", error=error)
            except Exception as error:
                yield Found(base, error=error)
            else:
                yield from self._found(listed.files, base, prefix)
                for name in reversed(listed.directories):
                    below = f"{base}{name}/"
                    if _unusable(name):
                        yield Found(below, error=_unusable(name))
                    elif below.startswith(prefix) or prefix.startswith(below):
                        pending.append((below[:-1], trail))

    def _found(self, files: Iterable[Found], base: str, prefix: str) -> Iterator[Found]:
        for name, stat, error in files:
            if f"{base}{name}".startswith(prefix):
                yield Found(f"{base}{name}", stat, error or _unusable(name))

    def _list(self, directory: str) -> Listed:
        directories, files = self.storage.listdir(directory)
        return Listed(sorted(directories), self._looked_at(directory, sorted(files)))

    def _looked_at(self, directory: str, names: list[str]) -> Iterator[Found]:
        for name in names:
            mark = None
            if not name and self.storage.size(f"{directory}/") == 0:
                mark = FolderMark("it is a mark for a folder")
            yield Found(name, error=mark)

    def stat(self, name: str) -> Stat | None:
        """Return a file's size and times as they are now; None where there is no file.

        Raises IsADirectoryError for a directory, and what the storage raises.
        """
        storage = self.storage
        try:
            if not storage.exists(name):
                return None
            size = _if_any(storage.size, name)
            time: datetime | None = _if_any(storage.get_modified_time, name)
        except FileNotFoundError:
            return None
        seconds = None if time is None else time.timestamp()
        return Stat(size, seconds, seconds)

    def look_again(self, name: str) -> Stat | None:
        """Return what ``stat`` does, asked of the store and not of any cache."""
        return self.stat(name)

    def lookup(self, name: str) -> Stat | None:
        """Return what ``stat`` does, or would have when ``ready`` was called."""
        return self.stat(name)

    def digests(self, stat: Stat) -> Mapping[str, bytes]:
        """Return the digests of the content that the store gave with ``stat``.

        By algorithm; equal digests of one algorithm mean equal contents. Those in
        ``content.HASHERS`` can be made here too, others only be compared.
        """
        return {}

    def settled(self, name: str, stat: Stat) -> Callable[[], None] | None:
        """Return a check that raises SourceChanged if the file is not as in ``stat``.

        None where the content of an open file can't change.
        """
        return None

    def open(self, name: str) -> File[Any]:
        """Open a file for reading."""
        # A copy and a comparison are of what the store has.
        with from_the_store():
            file: File[Any] = self.storage.open(name, "rb")
        return file

    def write(self, name: str, content: File[Any], *, replace: bool) -> None:
        """Store the content under exactly this name, all of it or nothing.

        Raises NameTaken where there is a file of the name, unless with ``replace``. The
        content may be closed once all of it was sent.
        """
        with tempfile.SpooledTemporaryFile(BLOCK) as spooled:
            # A save that reads from elsewhere may fail half way, and leave a half.
            for chunk in content.chunks(BLOCK):
                spooled.write(chunk)
            spooled.seek(0)
            if replace:
                self.storage.delete(name)
            saved = self.storage.save(name, File(spooled, name))
        if saved != name:
            self.storage.delete(saved)
            raise NameTaken(f"{name}: somebody else has the name by now")

    def leads_away(self, name: str) -> bool:
        """Whether a symbolic link on the way leads to another directory."""
        return False

    def delete(self, name: str) -> None:
        """Delete a file."""
        self.storage.delete(name)


def _if_any(method: Callable[[str], Any], name: str) -> Any:
    try:
        return method(name)
    except NotImplementedError:
        return None


def _unusable(name: str) -> BadName | None:
    """Return what is wrong with a name in a directory, that can't be asked for."""
    if name in ("", ".", "..") or "/" in name:
        return BadName(f"it has a part that is {name!r}, and can't be asked for")
    return None


def _check(place: Hashable, trail: Trail | None) -> None:
    while trail is not None:
        entered, trail = trail
        if entered == place:
            raise OSError(
                "it leads back to a directory above it, or to the other store"
            )
