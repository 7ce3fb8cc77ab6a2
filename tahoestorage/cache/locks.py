"""The write lock to a directory."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self


class WriteLock:
    """The write lock to a directory, for ``with``, where one gateway is written to.

    A gateway does one thing at a time, so that there is nothing to wait for: this one
    does nothing. Among several gateways ``RedisWriteLock`` is the lock.
    """

    lost = False
    """Whether others may have written to the directory at the same time.

    To be asked after the block, where all seemed well: what was written is then to be
    looked for, and written again if it is not there.
    """

    takes = 0
    """How often it was taken: what was read before another time is to be read again."""

    @property
    def is_shared(self) -> bool:
        """Whether it is held now, and heeded by all who share a Redis."""
        return False

    def __enter__(self) -> Self:
        """Wait for the lock. Raises WriteCollision where others keep it too long."""
        return self

    def renew(self) -> None:
        """Hold it for the whole time again. To be called before each request."""

    def unclear(self) -> Mapping[str, float]:
        """Return the gateways that may still unlink or replace something, by ``note``.

        Each with the seconds since it was noted. Empty where nobody shares the lock.
        """
        return {}

    def note(self, gateway: str) -> None:
        """Note that a gateway is about to unlink or replace something.

        To be called after ``renew``. It stays noted, also if this process dies, until
        ``answered``; until then a late request could undo what others have saved.
        """

    def answered(self, gateway: str) -> None:
        """Note that a gateway has responded: what it was sent before is done too.

        For when the lock is released.
        """

    def forgive(self, gateway: str) -> None:
        """Note that a gateway does nothing any more that it was sent before."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release it, unless nobody knows whether the write goes on."""
