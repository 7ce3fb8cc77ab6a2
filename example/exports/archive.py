"""A zip that is made while a store reads it: no copy on a disk, bounded memory.

Whoever reads it gets just ``size`` bytes, or an error: never an archive that lacks a
member, or has another content than was said.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from django.core.files.storage import storages
from django.utils.translation import gettext as _
from zipstream import ZIP_STORED, ZipStream

from jobs.kinds import ForPeople
from objects.incoming import CHUNK, IncomingFile
from tahoestorage.exceptions import TahoeStorageError

MAX_MEMBERS = 20_000
"""What is known of each is in memory while the archive is made."""
BESIDE = 2
"""Members that are no files: the manifest and a document."""
READERS = 4
AHEAD = 8 << 20
"""Bytes of the following members that are read while one is sent."""
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
    """A file of the archive: bytes that are given, or those of a key in a store."""

    path: str
    size: int
    sha256: str
    store: str = ""
    key: str = ""
    content: bytes | None = None

    @classmethod
    def of(cls, path: str, content: bytes) -> Member:
        """Return one with these bytes."""
        sha256 = hashlib.sha256(content).hexdigest()
        return cls(path, len(content), sha256, content=content)

    def pieces(self) -> Iterator[bytes]:
        """Yield the content as it was announced; raises SourceFailed."""
        if self.content is not None:
            yield self.content
            return
        size, digest = 0, hashlib.sha256()
        try:
            with storages[self.store].open(self.key) as file:
                while piece := file.read(CHUNK):
                    size += len(piece)
                    digest.update(piece)
                    yield piece
        except FileNotFoundError:
            raise SourceFailed(
                _("%(path)s is not there any more. Start the export again.")
                % {"path": self.path}
            ) from None
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

    Their paths are safe and different (``names``). ``size`` is that of the whole zip.
    Reading raises SourceFailed, SourceAway, and whatever `stop` was given; once it has
    raised, it does so again. The next members are read by threads while one is sent.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        if len(members) > MAX_MEMBERS + BESIDE:
            raise TooMany(
                _("There are %(count)s files; an export has %(most)s at most.")
                % {"count": len(members), "most": MAX_MEMBERS}
            )
        self._zip = _Zip(members)
        super().__init__(self._zip, self._zip.size, "application/zip")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads. Reading raises ValueError from then on."""
        self.stop(ValueError("The archive is closed."))
        self._zip.ahead.close()

    @property
    def source_error(self) -> SourceFailed | SourceAway | None:
        """Why a member could not be read, where reading has raised that."""
        error = self._zip.error
        return error if isinstance(error, SourceFailed | SourceAway) else None

    def stop(self, error: BaseException) -> None:
        """Let the next reading raise the error; any thread may say so."""
        self._zip.stop(error)


class _Zip:
    """The zip's bytes, in pieces of the size that is asked for."""

    def __init__(self, members: Sequence[Member]) -> None:
        # Contents are compressed already, for the most part, and so the size is known.
        zipped = ZipStream(compress_type=ZIP_STORED, sized=True)
        self.ahead = _Ahead(members)
        for index, member in enumerate(members):
            zipped.add(self.ahead.pieces(index), member.path, size=member.size)
        self.size = len(zipped)
        self._pieces = iter(zipped)
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

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
            return next(self._pieces)
        except StopIteration:
            error: BaseException = SourceFailed("The archive ended too early.")
        except BaseException as caught:
            error = caught
        # The library would go on to a valid zip that lacks the member.
        self.stop(error)
        raise error


class _Ahead:
    """Small members, read by threads some bytes before they are sent.

    The members are asked for in their order, each once.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._threads = ThreadPoolExecutor(READERS, "export")
        self._loads: deque[Future[bytes]] = deque()
        self._next = 0  # the first member that no thread reads
        self._held = 0  # bytes

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._loads.clear()

    def pieces(self, index: int) -> Iterator[bytes]:
        """Yield the content of a member."""
        self._load()
        if self._next == index:
            # It is not for the threads: but what follows it may be.
            self._next += 1
            self._load()
            yield from self._members[index].pieces()
            return
        content = self._loads.popleft().result()
        self._held -= len(content)
        self._load()
        yield content

    def _load(self) -> None:
        while self._next < len(self._members):
            member = self._members[self._next]
            is_full = self._loads and self._held + member.size > AHEAD
            if is_full or member.size > SMALL or member.content is not None:
                return
            self._held += member.size
            self._loads.append(self._threads.submit(_whole, member))
            self._next += 1


def _whole(member: Member) -> bytes:
    return b"".join(member.pieces())
