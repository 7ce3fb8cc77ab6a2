"""Content on its way into the store: counted, hashed, and read once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.core.files.base import File
from django.core.files.storage import Storage
from django.http.request import UnreadablePostError

from tahoestorage.verification import ContentDigest

CHUNK = 1 << 20  # bytes


class Truncated(Exception):
    """The content ended before its announced length."""


class Altered(Exception):
    """The content is another than is known of it."""


# Django's class takes no type argument at run time.
class StreamedFile(File):  # type: ignore[type-arg]
    """A file for ``Storage.save`` that reads at most ``size`` bytes of a stream, once.

    ``taken`` is how many were read so far.
    """

    def __init__(self, stream: Any, size: int) -> None:
        super().__init__(stream, name="upload")
        self.size = size
        self.taken = 0
        self._stream = stream

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = None) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        left = self.size - self.taken
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        data = self.take(wanted)
        self.taken += len(data)
        return data

    def take(self, wanted: int) -> bytes:
        """Return what comes next of the stream, at most ``wanted`` bytes."""
        raise NotImplementedError

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        while data := self.read(chunk_size or CHUNK):
            yield data

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        return self.size > (chunk_size or CHUNK)


class IncomingFile(StreamedFile):
    """One of known length.

    Afterwards ``sha256`` is its hash in hex, and ``taken`` the bytes that were read.
    Reading raises Truncated where the stream ends early, and at its end Altered where
    ``known_sha256`` is another's; what follows the length is not read.
    """

    def __init__(self, stream: Any, size: int, content_type: str = "") -> None:
        super().__init__(stream, size)
        self.content_type = content_type
        self.known_sha256: str | None = None
        """What its hash must be, where somebody had it before."""
        self.on_read: Callable[[], None] | None = None
        """Called after each piece that was read: to tell others of the progress."""
        self.version_id: uuid.UUID | None = None
        """What its version is to be called, if that is known before."""
        self.outlives_tokens = False
        """Whether it is stored also where its user's tokens ended meanwhile."""
        self.before_stored: Callable[[], None] | None = None
        """Called in the transaction that lets it be stored; what it raises forbids."""
        self.on_stored: Callable[[Any], None] | None = None
        """Called in the same transaction, with the version, once it is stored there."""
        self._hash = hashlib.sha256()
        self._digest: ContentDigest | None = None

    @property
    def sha256(self) -> str:
        return self._digest.sha256 if self._digest else self._hash.hexdigest()

    def digest_for(
        self, storage: Storage, sample_above: int | None = None
    ) -> ContentDigest:
        """Return what hashes all that is read from now on, to ask that store for it.

        Above so many bytes samples are enough, where it would have to be read back.
        """
        self._digest = ContentDigest(storage, self.size, sample_above=sample_above)
        return self._digest

    def take(self, wanted: int) -> bytes:
        data: bytes
        try:
            data = self._stream.read(wanted)
        except UnreadablePostError:  # The connection broke off.
            data = b""
        if not data:
            raise Truncated(f"{self.taken} of {self.size} bytes arrived.")
        (self._digest or self._hash).update(data)
        is_whole = self.taken + len(data) == self.size
        if is_whole and self.known_sha256 not in {None, self.sha256}:
            raise Altered
        if self.on_read is not None:
            self.on_read()
        return data
