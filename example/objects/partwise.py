"""Content that goes to the store in parts, of which some are sent while one is read.

S3 can do it. Parts are in memory while they are sent, and no more of them than the
options of the store say (``parts_in_memory``), beside the one that is read.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

from objects.incoming import IncomingFile
from tahoestorage.backends.sentparts import SentPart, part_length

MOST_IN_MEMORY = 64 << 20  # bytes; so long are parts up to 625 GiB
PIECE = 1 << 18  # bytes at a time


class Buffers:
    """Memory for parts: that of one which was sent serves a later one.

    The system has all of it back once this is closed.
    """

    def __init__(self) -> None:
        self._made: list[mmap.mmap] = []
        self._free: list[mmap.mmap] = []

    def take(self, length: int) -> mmap.mmap:
        """Return memory for just so many bytes, to write from its start."""
        while self._free:
            found = self._free.pop()
            if len(found) == length:
                found.seek(0)
                return found
            found.close()
        made = mmap.mmap(-1, length)
        self._made.append(made)
        return made

    def give_back(self, buffer: mmap.mmap) -> None:
        """Let a later part have what nobody reads any more."""
        self._free.append(buffer)

    def close(self) -> None:
        """Close all that were taken."""
        for each in self._made:
            each.close()


def is_for(storage: Any, size: int) -> bool:
    """Whether content of so many bytes is saved so: of more than one part."""
    length = part_length(size)
    return (
        hasattr(storage, "begin_parts")
        and length < size
        and length <= MOST_IN_MEMORY
        # Parts are stored as they are.
        and not storage.gzip
    )


def most_at_once(storage: Any) -> int:
    """Return how many parts are sent at once; none while one is read, where 0."""
    return int(storage.parts_in_memory) if storage.use_threads else 0


def unfinished(storage: Any) -> Iterator[tuple[str, datetime, Callable[[], None]]]:
    """Yield what killed processes left, and uploads that go on, in parts.

    The name of each, when it was begun, and what ends it and deletes its parts. There
    are none where the store has no such uploads.
    """
    if not hasattr(storage, "begin_parts"):
        return
    # Where no store is on S3, boto3 need not be installed.
    from tahoestorage.backends.s3.unfinished import abort
    from tahoestorage.backends.s3.unfinished import unfinished as found_in

    for found in found_in(storage):
        yield found.name, found.begun, partial(abort, storage, found)


def save(storage: Any, name: str, content: IncomingFile) -> list[SentPart]:
    """Save content by just that name, and return the parts that it was sent in.

    It is read by the calling thread. Raises FileExistsError where the name is taken,
    and what the content and the store raise: nothing of it is in the store then.
    """
    upload = storage.begin_parts(name, content.content_type)
    try:
        parts = _sent(storage, name, upload, content)
        storage.complete_parts(name, upload, parts)
    except BaseException:
        # Nobody sends a part any more.
        with contextlib.suppress(OSError):
            storage.abort_parts(name, upload)
        raise
    return parts


def _sent(
    storage: Any, name: str, upload: str, content: IncomingFile
) -> list[SentPart]:
    """Return the parts, all of which the store has; none is being sent afterwards."""
    at_once, length = most_at_once(storage), part_length(content.size)
    buffers = Buffers()
    sent: list[SentPart] = []
    pending: deque[Future[SentPart]] = deque()

    def send(number: int, buffer: mmap.mmap) -> SentPart:
        part: SentPart = storage.put_part(name, upload, number, buffer)
        buffers.give_back(buffer)
        return part

    with (
        contextlib.closing(buffers),
        ThreadPoolExecutor(max(1, at_once)) as threads,
    ):
        try:
            while left := content.size - content.taken:
                buffer = buffers.take(min(left, length))
                while room := len(buffer) - buffer.tell():
                    buffer.write(content.read(min(PIECE, room)))
                    # What can't be stored is not read to its end.
                    _raise_of_any(pending)
                number = len(sent) + len(pending) + 1
                pending.append(threads.submit(send, number, buffer))
                while len(pending) > at_once:
                    sent.append(pending.popleft().result())
            sent += [each.result() for each in pending]
        except BaseException:
            for each in pending:
                each.cancel()
            raise
    return sent


def _raise_of_any(pending: deque[Future[SentPart]]) -> None:
    for each in pending:
        if each.done():
            each.result()
