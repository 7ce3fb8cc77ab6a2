"""The write lock to a directory."""

from __future__ import annotations

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

    def __enter__(self) -> Self:
        """Wait for the lock. Raises WriteCollision where others keep it too long."""
        return self

    def renew(self) -> None:
        """Hold it for the whole time again. To be called before each request."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release it, unless nobody knows whether the write goes on."""
