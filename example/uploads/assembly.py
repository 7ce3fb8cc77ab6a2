"""Objects whose parts go to the store as what they are: parts of the object.

S3 can do it. All parts have the same length, but for the last. What comes in between,
where a body breaks off, is a file until the rest of its part is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.core.files.base import File

from objects import storing
from objects.partwise import MOST_IN_MEMORY, PIECE, Buffers
from tahoestorage.backends.sentparts import SentPart, part_length
from tahoestorage.exceptions import UploadEnded
from tahoestorage.verification import PartsDigest
from uploads.bodies import RequestBody
from uploads.hashing import RunningHash
from uploads.leases import Lease
from uploads.models import ObjectPart, Upload, UploadPart
from uploads.parts import FilePart, IncomingPart, discard


class Lost(storing.NotStored):
    """What came of an upload is not in the store any more: it has to begin anew."""


class Changed(Lost):
    """The store has something else than what came."""


def is_for(upload: Upload) -> bool:
    """Whether the object is made so: of more than one part, where the store can."""
    if upload.assembly:
        return True
    length = part_length(upload.size)
    return (
        hasattr(upload.storage, "begin_parts")
        # A part is in memory while it comes.
        and length <= MOST_IN_MEMORY
        # What went on beyond a part already is in files.
        and upload.offset < length < upload.size
    )


def reaches(upload: Upload, start: int, end: int) -> bool:
    """Whether bytes from ``start`` to ``end`` bring a part of the object to its end."""
    length = upload.part_bytes or part_length(upload.size)
    return end == upload.size or start % length + end - start >= length


class AssembledPart(IncomingPart):
    """One that becomes a part of the object, with what files have of its beginning.

    Where the body ends too early, it becomes one more file.
    """

    def __init__(
        self, lease: Lease, start: int, body: RequestBody, buffers: Buffers
    ) -> None:
        upload = lease.upload
        super().__init__(upload, start)
        _begin(lease)
        number, self._before = divmod(start, upload.part_bytes)
        self._number = number + 1
        self._length = min(upload.part_bytes, upload.size - start + self._before)
        self._files: list[UploadPart] = []
        if self._before:
            kept = upload.parts.filter(is_kept=True).order_by("start")
            self._files = list(kept.select_related("upload"))
        if sum(part.size for part in self._files) != self._before:
            raise Lost("What had come is not of this part alone.")
        self._body, self._buffers = body, buffers
        self._short: Any = None  # a mapping
        self._sent: SentPart | None = None

    def send(self) -> None:
        content = self._buffers.take(self._length)
        try:
            # First what comes now, so that the next part can be read meanwhile.
            content.seek(self._before)
            for data in self._coming():
                content.write(data)
            taken = content.tell()
            self.was_read(taken - self._before)
            if taken < self._length:
                # In place: a copy would take as much again.
                if self.size:
                    content.move(0, self._before, self.size)
                    content.resize(self.size)
                    self._short = content
                return
            content.seek(0)
            for data in self._kept():
                content.write(data)
            storage: Any = self.upload.storage
            key, upload = self.upload.assembly_key, self.upload.assembly
            with _lost():
                self._sent = storage.put_part(key, upload, self._number, content)
        finally:
            if self._short is None:
                self._buffers.give_back(content)

    def _coming(self) -> Iterator[bytes]:
        left = self._length - self._before
        while left and (data := self._body.read(min(PIECE, left))):
            left -= len(data)
            yield data

    def _kept(self) -> Iterator[bytes]:
        """Yield the part's beginning, which files have, and not a byte more."""
        storage, left = self.upload.storage, self._before
        for part in self._files:
            with storage.open(part.key) as file:
                while data := file.read(min(PIECE, left)):
                    left -= len(data)
                    yield data
        if left:
            raise storing.NotStored("What had come of the upload is not there.")

    def instead(self) -> IncomingPart | None:
        if self._short is None or not self.size:
            return None
        file = FilePart(self.upload, self.start)
        file.size, file.hash_state = self.size, self.hash_state
        file.content = File(self._short)
        file.content.size = self.size  # A mapping's own "size" is a method.
        return file

    def record(self) -> None:
        if (sent := self._sent) is None:
            return
        row = ObjectPart(
            upload=self.upload,
            number=sent.number,
            size=sent.size,
            etag=sent.etag,
            sha256=sent.sha256.hex(),
        )
        # By one statement; one of that number is of somebody whose lease was lost.
        ObjectPart.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=("upload", "number"),
            update_fields=("size", "etag", "sha256"),
        )
        for part in self._files:
            part.is_kept = False
            part.save(update_fields=["is_kept"])

    def clean(self) -> None:
        for part in self._files:
            discard(part)


def _begin(lease: Lease) -> None:
    """Have the store make an object of parts, once for an upload."""
    upload, version = lease.upload, lease.version
    if upload.assembly:
        return
    storage: Any = upload.storage
    begun = storage.begin_parts(version.key, version.content_type)
    try:
        lease.update(
            assembly=begun,
            assembly_key=version.key,
            part_bytes=part_length(upload.size),
        )
    except BaseException:
        with contextlib.suppress(OSError):
            storage.abort_parts(version.key, begun)
        raise


def known_sha256(upload: Upload) -> str | None:
    """Return the SHA-256 of what has come; None where it has to be read back."""
    return RunningHash(upload.offset, upload.hash_state).sha256


def complete(lease: Lease) -> str:
    """Make the object of all its parts, and return its SHA-256. Raises Lost.

    It can be repeated. Nothing of the object is read, unless the store does not tell
    what it compared, or nobody could hand on the state of the hash.
    """
    upload = lease.upload
    storage: Any = upload.storage
    parts = [part.sent for part in upload.object_parts.all()]
    if sum(part.size for part in parts) != upload.size:
        raise Lost("Parts of the upload are missing.")
    with _lost():
        storage.complete_parts(upload.assembly_key, upload.assembly, parts)
    digest = PartsDigest(storage, parts, upload.part_bytes, known_sha256(upload))
    sha256 = digest.stored(upload.assembly_key)
    if sha256 is None:
        raise Changed("The store does not hold what was sent.")
    return sha256


@contextlib.contextmanager
def _lost() -> Any:
    try:
        yield
    except UploadEnded as error:
        raise Lost("The store has ended the upload.") from error


def drop(upload: Upload) -> None:
    """Delete the parts of an object that was not made, and forget those of another.

    Raises what the store raises.
    """
    if upload.finished_at is None:
        abort(upload)
    upload.object_parts.all().delete()
    upload.assembly, upload.hash_state = "", None
    upload.save(update_fields=["assembly", "hash_state"])


def abort(upload: Upload) -> None:
    """Delete the parts of an object that was not made; of a made one nothing goes."""
    storage: Any = upload.storage
    storage.abort_parts(upload.assembly_key, upload.assembly)
