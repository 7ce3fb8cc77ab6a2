"""A request's body that is sent in two halves, with something done between them."""

from __future__ import annotations

import contextlib
import contextvars
import io
import threading
from collections.abc import Iterator

_of_this_thread: contextvars.ContextVar[HeldBody | None]
_of_this_thread = contextvars.ContextVar("_of_this_thread", default=None)


class HeldBody(io.BytesIO):
    """Bytes whose second half is sent once ``release`` was called.

    Or after ``seconds``: a store that lets the others wait is not to wait for them.
    """

    def __init__(self, content: bytes, seconds: float) -> None:
        super().__init__(content)
        self.begun = threading.Event()
        """Set once the store has the first half, and when the request has ended."""
        self.is_overdue = False
        """Whether the second half was sent without a release, since the time was up."""
        self._half = len(content) // 2
        self._seconds = seconds
        self._released = threading.Event()
        self._is_sent = False

    @contextlib.contextmanager
    def sent_by_this_thread(self) -> Iterator[None]:
        """Within the block, it is the body of what this thread puts."""
        token = _of_this_thread.set(self)
        try:
            yield
        finally:
            _of_this_thread.reset(token)
            self.begun.set()

    def release(self) -> None:
        """Let the second half be sent."""
        self._released.set()

    def read(self, size: int | None = -1, /) -> bytes:
        # It is read for a digest, too, before each attempt to send it.
        if not self._is_sent:
            return super().read(size)
        if self.tell() == 0:
            return super().read(self._half)
        self.begun.set()
        if not self._released.wait(self._seconds):
            self.is_overdue = True
            self._released.set()
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        # From its start again: for a digest, or for the next attempt.
        self._is_sent = False
        return super().seek(offset, whence)

    def begin(self) -> None:
        """Note that what is read from now on is sent."""
        self._is_sent = True


def begins_a_held_body() -> bool:
    """Return whether this thread now sends a held body, and note that it does."""
    body = _of_this_thread.get()
    if body is not None:
        body.begin()
    return body is not None
