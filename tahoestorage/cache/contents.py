"""Caches the contents of small files on disk, encrypted.

A content is kept by what names it and no other: a file's cap, or an object's key with
its ETag or generation. So it never is stale, and nothing has to be forgotten.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from tahoestorage import metering
from tahoestorage.cache.diskaccess import DiskAccess, gate
from tahoestorage.cache.errors import DiskError
from tahoestorage.cache.sealing import Namespace
from tahoestorage.entries import Entry
from tahoestorage.parts import Body, Fetch, Part
from tahoestorage.redaction import Secret

LARGEST = 1 << 17
"""Bytes of a content at most: one segment of a file on a grid, which the gateway has
checked before it responds."""
FOLDER = "contents"
# How many go at a time, for one that comes.
EVICTED = 2


_is_passed: ContextVar[bool] = ContextVar("contents_are_passed", default=False)


@contextlib.contextmanager
def from_the_store() -> Iterator[None]:
    """Open files within the block from the store, whatever is kept of them here."""
    token = _is_passed.set(True)
    try:
        yield
    finally:
        _is_passed.reset(token)


class Contents:
    """Contents of small files, in a folder of ``directory``; the oldest go first.

    They and all beside them take ``size_limit`` bytes at most. Processes share them;
    safe in threads and forks. Whatever fails on the disk costs requests, is logged once
    in ``lifetime`` seconds, and raises nothing.
    """

    def __init__(self, directory: Path, size_limit: int, lifetime: float) -> None:
        self._access = DiskAccess(
            directory / FOLDER,
            size_limit,
            lifetime,
            evicted=EVICTED,
            tells_changes=False,
        )

    def get(self, namespace: Namespace, reference: str) -> bytes | None:
        """Return the content that ``reference`` names in a namespace, or None."""
        key = _key(namespace, reference)
        with gate:
            disk = self._access.tier()
            if disk is None:
                return None
            try:
                sealed = disk.get(key)
            except DiskError as error:
                self._access.error(error)
                return None
        return namespace.seal.open(sealed, key) if sealed else None

    def keep(self, namespace: Namespace, reference: str, content: bytes) -> None:
        """Keep a content."""
        key = _key(namespace, reference)
        sealed = namespace.seal.close(content, key)
        with gate:
            if not self._access.is_current():
                # Somebody has removed the files: what is written now nobody would see.
                self._access.reset()
            disk = self._access.tier()
            if disk is None:
                return
            try:
                with disk.transaction():
                    disk.set(key, sealed)
                self._access.worked()
            except DiskError as error:
                self._access.error(error)

    def open(self, namespace: Namespace, entry: Entry) -> KeptContent | None:
        """Return the content of a file, if it is kept; ``namespace`` is its own."""
        if _is_passed.get():
            return None
        if not entry.reference or not 0 < (entry.size or 1) <= LARGEST:
            return None
        content = self.get(namespace, entry.reference)
        if content is not None and entry.size not in (None, len(content)):
            content = None
        metering.meter.read_content(hit=content is not None)
        return None if content is None else KeptContent(content, entry.reference)

    def keeping(self, fetch: Fetch, namespace: Namespace) -> Fetch:
        """Wrap ``fetch``: a small file that is read whole is cached.

        ``namespace`` is the file's own.
        """
        if _is_passed.get():
            # A copy of all files would drive out those that are asked for.
            return fetch

        def fetched(first: int, last: int, reference: str | None) -> Part:
            part = fetch(first, last, reference)
            size = part.entry.size
            # Whether a store packs a file is nothing that its reference tells.
            if first or part.encoding is not None or size is None:
                return part
            if not (0 < size <= min(LARGEST, last + 1) and part.entry.reference):
                return part
            body = _KeptBody(self, namespace, part, size)
            return Part(part.entry, body, None, part.end)

        return fetched


class KeptContent(io.BytesIO):
    """A whole content, as what reads a file."""

    until: int | None = None
    """Where the caller will stop, if it says so: of no use here."""

    def __init__(self, content: bytes, reference: str) -> None:
        super().__init__(content)
        self.size = len(content)
        """Bytes in all."""
        self.reference: str | None = Secret(reference)
        """What is read, as entries name it. SECRET."""


class _KeptBody:
    """A body that is kept once all of it was read."""

    def __init__(
        self, contents: Contents, namespace: Namespace, part: Part, size: int
    ) -> None:
        self._contents = contents
        self._namespace = namespace
        self._reference = part.entry.reference
        self._body: Body = part.body
        self._size = size
        self._read = bytearray()

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        block = self._body.read(size)
        self._read += block
        return block

    def close(self) -> None:
        """Give the connection up or back, and keep what came if it is all."""
        self._body.close()
        # One that is longer than its size is damaged, and so is one that is shorter.
        if len(self._read) == self._size:
            content, self._read = bytes(self._read), bytearray()
            self._contents.keep(self._namespace, self._reference, content)


def _key(namespace: Namespace, reference: str) -> bytes:
    length = len(namespace.identity)
    return namespace.key(
        b"content:%d:%s:%s" % (length, namespace.identity, reference.encode())
    )
