"""What comes of an upload becomes parts in the store, and counts part by part.

While the store works on a part, the next is read, each by a thread of its own. Of files
two are on their way at most; of parts of the object the one that is read, and as many
as the options of the store say.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

from django.conf import settings
from django.db import transaction

from objects import partwise
from objects.partwise import Buffers
from uploads import assembly, composing, deferring
from uploads.assembly import AssembledPart
from uploads.bodies import RequestBody
from uploads.hashing import RunningHash
from uploads.leases import Lease, expiry
from uploads.models import Upload
from uploads.parts import FilePart, IncomingPart

FILES_AT_ONCE = 2


class ChecksumMismatch(Exception):
    """What came has not the checksum that was sent with it."""


def receive(
    lease: Lease, stream: Any, length: int, checksum: tuple[str, bytes] | None = None
) -> None:
    """Keep ``length`` bytes, or as many as come; the upload's offset says how many.

    A part counts as soon as the store has it and all before it, so that whoever is
    killed loses those on their way; with a checksum (the name of hashlib's, and the
    digest) all count at the end. Raises ChecksumMismatch, and then nothing of it
    counts; Lost; Busy where somebody else has taken the upload over.
    """
    upload = lease.upload
    hashed = hashlib.new(checksum[0]) if checksum else None
    whole = running_hash(upload)
    body = RequestBody(stream, length, whole, *([hashed] if hashed else []))
    found: list[IncomingPart] = []
    with lease.kept():
        for part in _sent(lease, body, whole):
            found.append(part)
            if hashed is None:
                keep(lease, [part])
    if checksum is None or hashed is None:
        return
    if hashed.digest() != checksum[1]:
        for part in found:
            part.discard()
        raise ChecksumMismatch
    keep(lease, found)


def running_hash(upload: Upload) -> RunningHash:
    """Return the hash of all that has come, to be gone on with.

    By it what the store has at the end is known to be what came.
    """
    if composing.is_for(upload):
        return composing.running_hash(upload)
    return RunningHash(upload.offset, upload.hash_state)


def _sent(
    lease: Lease, body: RequestBody, whole: RunningHash
) -> Generator[IncomingPart, None, None]:
    """Yield the parts of a body, one after another, as the store has them."""
    at_once, buffers = _most_at_once(lease.upload), Buffers()
    happened: SimpleQueue[None] = SimpleQueue()
    pending: list[tuple[IncomingPart, Future[None]]] = []
    last: IncomingPart | None = None

    def was_read(part: IncomingPart) -> None:
        part.hash_state = whole.state
        happened.put(None)

    def ended(sending: Future[None]) -> None:
        if sending.exception() is not None:
            body.is_at_end = True  # Nothing more could follow.
        happened.put(None)

    def send(part: IncomingPart) -> tuple[IncomingPart, Future[None]]:
        sending = threads.submit(part.send)
        sending.add_done_callback(ended)
        return part, sending

    def first_is_done() -> bool:
        return bool(pending) and pending[0][1].done()

    with contextlib.closing(buffers), ThreadPoolExecutor(at_once) as threads:
        try:
            while pending or not body.is_at_end:
                if pending and (other := _instead(*pending[-1])) is not None:
                    # At once, and not once the store has all before it.
                    pending[-1] = send(other)
                elif (
                    # Before the database is written to for one that is done.
                    len(pending) - first_is_done() < at_once
                    and not body.is_at_end
                    and (last is None or last.is_read)
                ):
                    start = lease.upload.offset if last is None else last.end
                    last = part = _next(lease, start, body, buffers)
                    part.on_read = partial(was_read, part)
                    pending.append(send(part))
                elif first_is_done():
                    part, sending = pending[0]
                    sending.result()
                    del pending[0]
                    if part.size:
                        yield part
                    else:
                        part.discard()
                else:
                    happened.get()
        except BaseException:
            body.is_at_end = True
            for part, sending in pending:
                sending.exception()
                part.discard()
            raise


def _instead(part: IncomingPart, sending: Future[None]) -> IncomingPart | None:
    return part.instead() if sending.done() else None


def _most_at_once(upload: Upload) -> int:
    if assembly.is_for(upload):
        return 1 + partwise.most_at_once(upload.storage)
    return FILES_AT_ONCE


def _next(
    lease: Lease, start: int, body: RequestBody, buffers: Buffers
) -> IncomingPart:
    upload, end = lease.upload, start + body.left
    if assembly.is_for(upload) and assembly.reaches(upload, start, end):
        return AssembledPart(lease, start, body, buffers)
    most = min(settings.UPLOAD_PART_BYTES, body.left)
    return FilePart.of(upload, start, body, most)


def keep(lease: Lease, parts: list[IncomingPart]) -> None:
    """Let parts that follow each other count, from the upload's offset on.

    With the last of them a job is started, or none counts, where the end of the upload
    takes long; the lease is given back for it.
    """
    if not parts:
        return
    with transaction.atomic():
        for part in parts:
            part.record()
        lease.update(
            offset=parts[-1].end,
            hash_state=parts[-1].hash_state,
            expires_at=expiry(lease.upload),
        )
        if lease.upload.is_complete and not deferring.is_quick(lease.upload):
            deferring.start(lease.upload)
            lease.update(lease=None, leased_until=None)
    for part in parts:
        part.clean()
