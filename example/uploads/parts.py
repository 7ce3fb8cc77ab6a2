"""Parts of an upload on their way to the store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from objects.incoming import StreamedFile
from uploads.bodies import RequestBody
from uploads.models import Upload, UploadPart


class IncomingPart:
    """Bytes from ``start`` on, which another thread reads and sends.

    That calls `send`, and nothing else: the database is not asked there. `send` calls
    `was_read` as soon as the next part may be read.
    """

    def __init__(self, upload: Upload, start: int) -> None:
        self.upload, self.start = upload, start
        self.size = 0
        """Bytes that were read; there may be none."""
        self.is_read = False
        self.hash_state: bytes | None = None
        """What `hashing` hands on of all up to its end."""
        self.on_read: Callable[[], None] = lambda: None

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + self.size

    def send(self) -> None:
        """Read it, and send it to the store."""
        raise NotImplementedError

    def was_read(self, size: int) -> None:
        self.size = size
        self.on_read()
        self.is_read = True

    def instead(self) -> IncomingPart | None:
        """Return what is to be sent in its place, once `send` has returned."""
        return None

    def record(self) -> None:
        """Let it count; within a transaction."""
        raise NotImplementedError

    def clean(self) -> None:
        """Delete what it replaces; after the transaction."""

    def discard(self) -> None:
        """Delete what the store has of it; it does not count."""


class FilePart(IncomingPart):
    """One that becomes a file of its own, with this ``content``.

    Its row is made before the bytes are.
    """

    def __init__(self, upload: Upload, start: int) -> None:
        super().__init__(upload, start)
        # Errors tell keys: the upload's own id is as good as a token.
        directory = upload.version_id.hex if upload.version_id else "none"
        key = f"uploads/{directory}/{start:015d}-{uuid.uuid4().hex[:12]}"
        self._row = UploadPart.objects.create(upload=upload, start=start, key=key)
        self.content: Any = None

    @classmethod
    def of(cls, upload: Upload, start: int, body: RequestBody, most: int) -> FilePart:
        """Return one that reads at most so many bytes of a body."""
        found = cls(upload, start)
        found.content = PartContent(body, most, found)
        return found

    def send(self) -> None:
        storage: Any = self.upload.storage
        if hasattr(storage, "create"):
            storage.create(self._row.key, self.content, unique=True)
        else:
            self._row.key = storage.save(self._row.key, self.content)

    def record(self) -> None:
        self._row.size, self._row.is_kept = self.size, True
        self._row.save(update_fields=["size", "is_kept", "key"])

    def discard(self) -> None:
        discard(self._row)


class PartContent(StreamedFile):
    """The next bytes of a body, fewer where that ends, as the content of a file."""

    def __init__(self, body: RequestBody, most: int, part: IncomingPart) -> None:
        super().__init__(body, most)
        self._part = part

    def read(self, size: int | None = None) -> bytes:
        data = super().read(size)
        if not self._part.is_read and (
            self.taken == self.size or self._stream.is_at_end
        ):
            self._part.was_read(self.taken)
        return data

    def take(self, wanted: int) -> bytes:
        data: bytes = self._stream.read(wanted)
        return data


def discard(part: UploadPart) -> None:
    """Delete a part's bytes, and then its row; the sweep does what fails."""
    try:
        part.upload.storage.delete(part.key)
    except Exception:  # The row remains, and says what is left.
        return
    part.delete()
