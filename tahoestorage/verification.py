"""Whether a store really holds what it was sent::

    from tahoestorage.verification import ContentDigest

    digest = ContentDigest(storage, size)
    for piece in content.chunks():
        digest.update(piece)
    with digest.sending():
        name = storage.save(name, content)
    if not digest.is_stored(name): ...

A store may lose or change bytes on their way. What tells no digest is read back, and
so takes as long as a download: ``sample_above`` has large content read in samples.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core.files.base import File
from django.core.files.storage import Storage

from tahoestorage.backends import digests
from tahoestorage.backends.digests import SHA256
from tahoestorage.backends.receipts import Receipts, receipts_of
from tahoestorage.backends.sentparts import SentPart
from tahoestorage.backends.storedfile import StoredFile
from tahoestorage.cache import from_the_store

__all__ = ["ContentDigest", "PartsDigest"]
_CHUNK = 1 << 20
_SAMPLE = 1 << 20
_SAMPLES = 32


class ContentDigest:
    """The SHA-256 of a content, and what its store will tell of it besides.

    It is made while the content is read, once. ``size`` is the content's, in bytes.
    Of more than ``sample_above`` bytes (and 32 MiB), what would be read back is read in
    samples: the size, the first and the last MiB, and 30 others, drawn at random here.
    They show content that is another, cut off, or damaged in many places: where a tenth
    of it is damaged, 96 times of 100. A few damaged MiB of a GiB they hardly ever show.
    """

    def __init__(
        self, storage: Storage, size: int, *, sample_above: int | None = None
    ) -> None:
        self._storage: Any = storage
        self._size = size
        self._taken = 0
        self._samples: _Samples | None = None
        if sample_above is not None and size > max(sample_above, _SAMPLES * _SAMPLE):
            self._samples = _Samples(size)
        self._receipts: Receipts = {}
        tells = getattr(storage, "content_algorithms", None)
        algorithms = () if tells is None else tells(size)
        self._hashers = {
            name: digests.hasher(name) for name in dict.fromkeys((SHA256, *algorithms))
        }

    def update(self, data: bytes) -> None:
        """Take some of the content."""
        if self._samples is not None:
            self._samples.update(self._taken, data)
        self._taken += len(data)
        for each in self._hashers.values():
            each.update(data)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Keep what the store says of the file in its response to the save, in a block.

        ``is_stored`` asks it no more then. Only saves by this storage and thread count.
        """
        with receipts_of(self._storage) as receipts:
            yield
        self._receipts = receipts

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was taken, in hex."""
        return self._hashers[SHA256].digest().hex()

    def is_confirmed(self, name: str) -> bool:
        """Whether the store's response to the save within ``sending`` said so already.

        No request is made. Where it is False, ``is_stored`` asks.
        """
        if self._taken != self._size:
            return False
        said = _agrees(self._receipts.get(name, {}), self._known())
        return said is True

    def _known(self) -> dict[str, bytes]:
        return {name: each.digest() for name, each in self._hashers.items()}

    def is_stored(self, name: str) -> bool:
        """Return whether the store holds just this content by this name.

        S3 tells the SHA-256 that it compared when the file was saved, Google Cloud
        Storage its own CRC-32C: a request each, or none where it was saved within
        ``sending`` and the response had it. Whatever tells neither, a grid or a
        disk, is read back, whole or in samples, and so is what is stored in parts of
        another length than this storage's; what is stored packed, always whole. A grid
        has up to 55 bytes in the cap itself (LIT), and is asked nothing. Raises what
        the storage raises where it can't be asked.
        """
        if self._taken != self._size:
            return False
        with contextlib.suppress(FileNotFoundError):
            known = self._known()
            said = _agrees(self._receipts.get(name, {}), known)
            if said is None:
                said = _said(self._storage, name, known)
            if said is not None:
                return said
            with _opened(self._storage, name) as file:
                if self._samples is not None and not getattr(file, "is_packed", False):
                    return file.size == self._size and self._samples.are_in(file)
                return _read(file, SHA256) == (self._size, known[SHA256])
        return False


class _Samples:
    """The SHA-256 of some MiB of a content, taken as it comes by."""

    def __init__(self, size: int) -> None:
        # Nobody may know which: and they overlap neither each other nor the last.
        between = range(1, size // _SAMPLE - 1)
        drawn = random.SystemRandom().sample(between, _SAMPLES - 2)
        starts = (0, *(number * _SAMPLE for number in sorted(drawn)), size - _SAMPLE)
        self._pieces = [(start, hashlib.sha256()) for start in starts]
        self._next = 0

    def update(self, at: int, data: bytes) -> None:
        """Take what the content has from ``at`` on, where the last call ended."""
        view, end = memoryview(data), at + len(data)
        while self._next < len(self._pieces):
            start, taken = self._pieces[self._next]
            if end <= start:
                return
            stop = start + _SAMPLE
            taken.update(view[max(0, start - at) : stop - at])
            if end < stop:
                return
            self._next += 1

    def are_in(self, file: File[bytes]) -> bool:
        """Whether a file has just these bytes there. No others are asked for."""
        for start, taken in self._pieces:
            if isinstance(file, StoredFile):
                file.seek_part(start, start + _SAMPLE)
            else:
                file.seek(start)
            found, left = hashlib.sha256(), _SAMPLE
            # An unbuffered file may give less at once.
            while left and (some := file.read(left)):
                found.update(some)
                left -= len(some)
            if found.digest() != taken.digest():
                return False
        return True


class PartsDigest:
    """The SHA-256 of a content that was sent in parts of ``length`` bytes (SentPart).

    ``sha256`` is that of all of it, in hex, where somebody knows it: whoever sent all
    parts, or was handed on the state of the hash by whoever sent the first ones.
    """

    def __init__(
        self,
        storage: Storage,
        parts: Sequence[SentPart],
        length: int,
        sha256: str | None = None,
    ) -> None:
        self._storage = storage
        self._parts = parts
        self._of_parts = digests.of_length(SHA256, length)
        self._sha256 = sha256

    def stored(self, name: str) -> str | None:
        """Return the SHA-256, in hex, of the file by this name.

        None where the store does not hold just these parts by it. The file is read back
        where the SHA-256 is not known, or the store tells none that it compared. Raises
        what the storage raises where it can't be asked.
        """
        whole = hashlib.sha256(b"".join(part.sha256 for part in self._parts)).digest()
        known = {self._of_parts: whole}
        with contextlib.suppress(FileNotFoundError):
            if self._sha256 is not None:
                known[SHA256] = bytes.fromhex(self._sha256)
                said = _said(self._storage, name, known)
                if said is not None:
                    return self._sha256 if said else None
            size = sum(part.size for part in self._parts)
            with _opened(self._storage, name) as file:
                found = _read(file, SHA256, self._of_parts)
            if (found[0], found[2]) == (size, whole):
                sha256 = found[1].hex()
                return sha256 if self._sha256 in {None, sha256} else None
        return None


def _said(storage: Any, name: str, known: Mapping[str, bytes]) -> bool | None:
    """Return whether the store says that it has one of these digests.

    None where it says nothing of use. Raises FileNotFoundError.
    """
    tells = getattr(storage, "stored_checksums", None)
    return _agrees({} if tells is None else tells(name), known)


def _agrees(found: Mapping[str, bytes], known: Mapping[str, bytes]) -> bool | None:
    """Return whether digests that a store told are these; None if they say nothing."""
    agrees = {each: known[each] == found[each] for each in found if each in known}
    whole = [agrees[each] for each in agrees if not digests.is_of_parts(each)]
    if whole:
        return all(whole)
    # Of parts of another length the digest is another.
    return True if any(agrees.values()) else None


def _opened(storage: Any, name: str) -> File[bytes]:
    """Return a file that is read from the store. Raises FileNotFoundError."""
    with from_the_store():
        file: File[bytes] = storage.open(name)
    return file


def _read(file: File[bytes], *algorithms: str) -> tuple[Any, ...]:
    """Return a file's size, and its digests. Raises FileNotFoundError."""
    size, hashers = 0, [digests.hasher(each) for each in algorithms]
    while some := file.read(_CHUNK):
        size += len(some)
        for each in hashers:
            each.update(some)
    return (size, *(each.digest() for each in hashers))
