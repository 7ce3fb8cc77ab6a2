"""What comes of an upload becomes parts in the store, and counts part by part."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http.request import UnreadablePostError

from objects.incoming import StreamedFile
from objects.pace import TooSlow
from uploads.leases import Lease, expiry
from uploads.models import Upload, UploadPart


class ChecksumMismatch(Exception):
    """What came has not the checksum that was sent with it."""


class PartContent(StreamedFile):
    """The next bytes of a body: fewer where the body ends."""

    def __init__(self, stream: Any, most: int, lease: Lease, checksum: Any) -> None:
        super().__init__(stream, most)
        self.is_at_end = False
        self._lease, self._checksum = lease, checksum

    def take(self, wanted: int) -> bytes:
        data: bytes
        try:
            data = self._stream.read(wanted)
        except (UnreadablePostError, TooSlow):
            data = b""  # What came until then is kept.
        if len(data) < wanted:
            self.is_at_end = True
        if self._checksum is not None:
            self._checksum.update(data)
        self._lease.renew()
        return data


def receive(
    lease: Lease, stream: Any, length: int, checksum: tuple[str, bytes] | None = None
) -> None:
    """Keep ``length`` bytes, or as many as come; the upload's offset says how many.

    A part counts as soon as the store has it, so that whoever is killed loses one at
    most; with a checksum (the name of hashlib's, and the digest) all count at the end.
    Raises ChecksumMismatch, and then nothing of it counts; Busy where somebody else has
    taken the upload over.
    """
    upload = lease.upload
    hashed = hashlib.new(checksum[0]) if checksum else None
    found: list[UploadPart] = []
    start, end = upload.offset, upload.offset + length
    while start < end:
        most = min(settings.UPLOAD_PART_BYTES, end - start)
        content = PartContent(stream, most, lease, hashed)
        part = save(upload, start, content)
        if not part.size:
            discard(part)
            break
        start += part.size
        found.append(part)
        if checksum is None:
            keep(lease, [part])
        if content.is_at_end:
            break
    if checksum is not None and hashed is not None:
        if hashed.digest() != checksum[1]:
            for part in found:
                discard(part)
            raise ChecksumMismatch
        keep(lease, found)


def save(upload: Upload, start: int, content: PartContent) -> UploadPart:
    """Send a part to the store, and return its row, which is not kept yet."""
    key = f"uploads/{upload.id.hex}/{start:015d}-{uuid.uuid4().hex[:12]}"
    part = UploadPart.objects.create(upload=upload, start=start, key=key)
    storage: Any = upload.storage
    try:
        if hasattr(storage, "create"):
            storage.create(key, content, unique=True)
        else:
            part.key = storage.save(key, content)
    except BaseException:
        discard(part)
        raise
    part.size = content.taken
    return part


def keep(lease: Lease, parts: list[UploadPart]) -> None:
    """Let parts that follow each other count, from the upload's offset on."""
    upload = lease.upload
    with transaction.atomic():
        for part in parts:
            part.is_kept = True
            part.save(update_fields=["size", "is_kept", "key"])
        offset = upload.offset + sum(part.size for part in parts)
        lease.update(offset=offset, expires_at=expiry(upload))


def discard(part: UploadPart) -> None:
    """Delete a part's bytes, and then its row; the sweep does what fails."""
    try:
        part.upload.storage.delete(part.key)
    except Exception:  # The row remains, and says what is left.
        return
    part.delete()
