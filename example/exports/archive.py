"""A zip that is made while a store reads it: no copy on a disk, bounded memory.

Whoever reads it gets just ``size`` bytes, or an error: never an archive that lacks a
member, or has another content than was said.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from django.utils.translation import gettext as _
from zipstream import ZIP_STORED, ZipStream, ZipStreamInfo
from zipstream.ng import (
    ZIP64_LIMIT,
    ZIP_FILECOUNT_LIMIT,
    sizeEndCentDir64,
    sizeEndCentDir64Locator,
)

from accounts import stores
from exports.packed import PackedRows
from jobs.kinds import ForPeople
from objects.incoming import CHUNK, IncomingFile
from tahoestorage.exceptions import TahoeStorageError

MAX_MEMBERS = 100_000
"""What is known of each is in memory while the archive is made: some 300 bytes."""
BESIDE = 2
"""Members that are no files: the manifest and a document."""
READERS = 4
AHEAD = 8 << 20
"""Bytes of the following members that are read while one is sent."""
MOST_AHEAD = 64
"""Members that are read before they are sent, however small."""
SMALL = 2 << 20
"""A larger member is read as it is sent."""


class SourceFailed(Exception):
    """A member could not be read as it was announced; the message is for people."""


class SourceAway(ForPeople, OSError):
    """The store of a member cannot be read now; the message is for people."""


class TooMany(Exception):
    """There are more members than an archive may have; the message is for people."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: what ``content`` yields, or the bytes of a key in a store.

    ``content`` yields the same each time, ``size`` bytes in all.
    """

    path: str
    size: int
    sha256: str = ""
    store: str = ""
    key: str = ""
    content: Callable[[], Iterable[bytes]] | None = None

    @classmethod
    def of(cls, path: str, content: bytes) -> Member:
        """Return one with these bytes."""
        return cls(path, len(content), content=lambda: (content,))

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield the content as it was announced; raises SourceFailed."""
        if self.content is not None:
            yield from self.content()
            return
        size, digest = 0, hashlib.sha256()
        try:
            with stores.storage_of(self.store).open(self.key) as file:
                while piece := file.read(CHUNK):
                    size += len(piece)
                    digest.update(piece)
                    yield piece
        except FileNotFoundError:
            raise SourceFailed(
                _(
                    "%(path)s is missing in its store. If it was not just deleted, "
                    "restore it or delete it. Then start the export again."
                )
                % {"path": self.path}
            ) from None
        except stores.StoreGone as error:
            raise SourceAway(
                _("%(path)s could not be read. %(why)s")
                % {"path": self.path, "why": error}
            ) from error
        except (OSError, TahoeStorageError) as error:
            raise SourceAway(
                _("%(path)s could not be read: its store is away, or damaged.")
                % {"path": self.path}
            ) from error
        if (size, digest.hexdigest()) != (self.size, self.sha256):
            raise SourceFailed(
                _("%(path)s is damaged in its store. Restore it, and start again.")
                % {"path": self.path}
            )


class Archive(IncomingFile):
    """A zip of the members for ``Storage.save``, read once.

    Their paths are safe and different (``names``). They are iterated over twice, each
    time one after the other: for the ``size`` of the whole zip, and while it is read.
    Reading raises SourceFailed, SourceAway, and whatever `stop` was given; once it has
    raised, it does so again. The next members are read by threads while one is sent.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._zip = _Zip(members, size_of(members))
        super().__init__(self._zip, self._zip.size, "application/zip")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads. Reading raises ValueError from then on."""
        self.stop(ValueError("The archive is closed."))
        self._zip.close()

    @property
    def source_error(self) -> SourceFailed | SourceAway | None:
        """Why a member could not be read, where reading has raised that."""
        error = self._zip.error
        return error if isinstance(error, SourceFailed | SourceAway) else None

    def stop(self, error: BaseException) -> None:
        """Let the next reading raise the error; any thread may say so."""
        self._zip.stop(error)


class _Stream(ZipStream):
    """One that holds no member that was sent, or is only counted."""

    def __init__(self) -> None:
        # Contents are compressed already, for the most part, and so the size is known.
        super().__init__(compress_type=ZIP_STORED, sized=True)
        self._filelist = _Sent()

    def count(self, path: str, size: int) -> int:
        """Let the length be that with one more; return how many these are."""
        self._add_size_from_file(path, size)
        return self._size_prog[0]

    def __len__(self) -> int:
        size: int = super().__len__()
        count, *sizes = self._size_prog
        # The library writes 76 bytes from so many members on, and counts them from one
        # more on.
        if count == ZIP_FILECOUNT_LIMIT and max(sizes) <= ZIP64_LIMIT:
            size += sizeEndCentDir64 + sizeEndCentDir64Locator
        return size


class _Sent:
    """What the zip's end says of the members, packed, as `ZipStream` asks for it."""

    def __init__(self) -> None:
        self._packed = PackedRows(_Header)

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[_Header]:
        return iter(self._packed)

    def append(self, info: ZipStreamInfo) -> None:
        self._packed.add(info._central_directory_header_data().hex())


@dataclass(frozen=True, slots=True)
class _Header:
    text: str

    def _central_directory_header_data(self) -> bytes:
        return bytes.fromhex(self.text)


def size_of(members: Iterable[Member]) -> int:
    """Return the bytes of a zip of these; raises TooMany."""
    counted, count = _Stream(), 0
    for member in members:
        count = counted.count(member.path, member.size)
    if count > MAX_MEMBERS + BESIDE:
        raise TooMany(
            _("There are %(count)s files; an export has %(most)s at most.")
            % {"count": count, "most": MAX_MEMBERS}
        )
    return len(counted)


class _Zip:
    """The zip's bytes, in pieces of the size that is asked for."""

    def __init__(self, members: Iterable[Member], size: int) -> None:
        self.size = size
        self.ahead = _Ahead(members)
        self._pieces = self._all()
        self._left = size  # bytes that the library has to give
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def _all(self) -> Generator[bytes, None, None]:
        zipped = _Stream()
        with contextlib.closing(iter(self.ahead)) as members:
            for member, pieces in members:
                zipped.add(pieces, member.path, size=member.size)
                yield from zipped.file()
            yield from zipped.footer()

    def close(self) -> None:
        """Close the file that is being read, and end the threads."""
        self._pieces.close()
        self.ahead.close()

    def stop(self, error: BaseException) -> None:
        self.error = self.error or error

    def read(self, size: int) -> bytes:
        found: list[memoryview] = []
        while size:
            if self.error is not None:
                raise self.error
            if not self._rest:
                self._rest = memoryview(self._next())
                continue
            some = self._rest[:size]
            # An empty view of it would keep the whole piece in memory.
            self._rest = self._rest[len(some) :] or memoryview(b"")
            found.append(some)
            size -= len(some)
        return b"".join(found)

    def _next(self) -> bytes:
        try:
            piece = next(self._pieces)
            self._left -= len(piece)
            # Its end is in it, or it is none.
            if self._left > 0 or (self._left == 0 and not any(self._pieces)):
                return piece
            error: BaseException = SourceFailed("The archive is longer than said.")
        except StopIteration:
            error = SourceFailed("The archive ended too early.")
        except BaseException as caught:
            error = caught
        # The library would go on to a valid zip that lacks the member.
        self.stop(error)
        raise error


class _Ahead:
    """The members with their contents; threads read small ones beforehand."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._members = iter(members)
        self._following = next(self._members, None)
        self._threads = ThreadPoolExecutor(READERS, "export")
        self._coming: deque[tuple[Member, Future[bytes] | None]] = deque()
        self._held = 0  # bytes that threads read

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._coming.clear()

    def __iter__(self) -> Generator[tuple[Member, Iterable[bytes]], None, None]:
        """Yield each; the content is to be read before the next is asked for."""
        self._load()
        while self._coming:
            member, load = self._coming.popleft()
            if load is None:
                self._load()
                with contextlib.closing(member.pieces()) as pieces:
                    yield member, pieces
            else:
                content = load.result()
                self._held -= member.size
                self._load()
                yield member, (content,)

    def _load(self) -> None:
        while self._following is not None and len(self._coming) < MOST_AHEAD:
            member = self._following
            if self._coming and (
                # The last one is read as it is sent, and what follows it then.
                self._coming[-1][1] is None or self._held + member.size > AHEAD
            ):
                return
            load = None
            if member.content is None and member.size <= SMALL:
                load = self._threads.submit(_whole, member)
                self._held += member.size
            self._coming.append((member, load))
            self._following = next(self._members, None)


def _whole(member: Member) -> bytes:
    return b"".join(member.pieces())
