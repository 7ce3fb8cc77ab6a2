"""Access to the tier on disk, which is left alone for a while after an error."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from pathlib import Path

from tahoestorage import forks
from tahoestorage.cache.disk import DiskTier
from tahoestorage.cache.errors import DiskError, DiskLocked
from tahoestorage.cache.rawcache import EVICTED, close_connections

logger = logging.getLogger("tahoestorage.cache")

LOCKED_SECONDS = 1.0
# A lock that opens within this time is the business of nobody.
LASTING_SECONDS = 5.0

gate = forks.Gate()
"""Whoever has a tier in hand is inside."""
_all: weakref.WeakSet[DiskAccess] = weakref.WeakSet()


class DiskAccess:
    """The DiskTier in ``directory``, opened when it is needed; none without one.

    After an error it is not tried again for ``lifetime`` seconds, and for one second
    where somebody else holds its lock. One error in a lifetime is logged, and of locks
    only those that last. It is closed while the process forks.
    """

    def __init__(
        self,
        directory: Path | None,
        size_limit: int,
        lifetime: float,
        *,
        evicted: int = EVICTED,
        tells_changes: bool = True,
    ) -> None:
        """``evicted`` is how many values go at a time, where there is no room.

        ``tells_changes`` says whether others hear by it of what is changed.
        """
        self.directory = directory
        self._evicted = evicted
        self._tells_changes = tells_changes
        self._size_limit = size_limit
        self._lifetime = lifetime
        self._warned = float("-inf")
        self.reset()
        _all.add(self)
        forks.register(self)

    def after_fork(self) -> None:
        """Take nothing over from the parent."""
        self.reset()

    def reset(self) -> None:
        """Take nothing over from before: neither a connection, nor a lock."""
        self._lock = threading.Lock()
        self._disk: DiskTier | None = None
        self._again = float("-inf")
        self._locked: float | None = None

    def close(self) -> None:
        """Let go of it. It is opened again when it is needed."""
        self._disk = None

    def is_current(self) -> bool:
        """Whether what is open is still what others find in the directory."""
        disk = self._disk
        return disk is None or disk.is_current()

    def tier(self) -> DiskTier | None:
        """Return the tier, or None while it can't be had. To be used in the gate."""
        return self._disk or self._open()

    def _open(self) -> DiskTier | None:
        if self.directory is None or time.monotonic() < self._again:
            return None
        with self._lock:
            if self._disk is None:
                try:
                    self._disk = DiskTier(
                        self.directory, self._size_limit, self._evicted
                    )
                except DiskError as error:
                    self.error(error)
            return self._disk

    def worked(self) -> None:
        """Note that the tier has done what was asked."""
        self._locked = None

    def error(self, error: DiskError) -> None:
        """Note that the tier has failed."""
        now = time.monotonic()
        if isinstance(error, DiskLocked):
            self._again = now + LOCKED_SECONDS
            self._locked = self._locked or now
            if now - self._locked >= LASTING_SECONDS:
                self.warn("can't be used", error)
        else:
            self._again = now + self._lifetime
            self._disk = None
            self.warn("failed", error)

    def warn(self, trouble: str, error: Exception) -> None:
        """Log what is the matter with the directory, once in a lifetime."""
        now = time.monotonic()
        if now - self._warned > self._lifetime:
            self._warned = now
            late = ""
            if self._tells_changes:
                late = (
                    "; what this process changes, others may see late by "
                    f"{self._lifetime:g} s"
                )
            logger.warning(
                "The cache directory %s %s (%s). Everything works without it, "
                "slower%s.",
                self.directory,
                trouble,
                error,
                late,
            )


def _close() -> None:
    # A connection that is open makes SQLite believe, in the child, in locks that the
    # child does not have (sqlite.org/howtocorrupt.html, section 2.6).
    for access in list(_all):
        access.close()
    close_connections()


forks.before(_close)
