"""A write lock to a directory."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class WriteLock:
    """The turn of who writes through one gateway, which does one thing at a time.

    There is nothing to wait for. Among several gateways it is a lock: see locks.
    """

    lost = False
    """Whether others may have written to the directory at the same time.

    To be asked after the block, where all seemed well: what was written is then to be
    looked for, and written again if it is not there.
    """

    def __enter__(self) -> Self:
        """Wait for the turn. Raises WriteCollision where it does not come."""
        return self

    def renew(self) -> None:
        """Hold it for the whole time again, before each request."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back, unless nobody knows whether the write goes on."""
