"""Fetches the listings of a subtree in parallel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import (
    GatewayTimeout,
    GatewayUnreachable,
    TahoeStorageError,
)
from tahoestorage.tahoe.directories import Asked, Directories, Path

AT_ONCE = 8
MOST = 256
"""Directories that are fetched at most: a page that shows more asks for the rest."""


class PrefetchedDirectories(NamedTuple):
    """Which directories were asked for in a ``prefetch`` block of a storage."""

    storage: object
    prefix: str
    asked: Asked


prefetched: ContextVar[tuple[PrefetchedDirectories, ...]] = ContextVar(
    "prefetched", default=()
)
"""The blocks that a thread, or a task, is in."""


def fetch_below(directories: Directories, path: Path, asked: Asked) -> None:
    """Request the listings of the directories on the way to ``path``, and below it.

    ``AT_ONCE`` at a time, ``MOST`` at most, the nearest first. ``asked`` is that of
    `Directories.refresh`. No error is raised: what could not be fetched is asked for by
    whoever looks it up, and they are told what is wrong.
    """
    waiting = [path]
    with ThreadPoolExecutor(AT_ONCE, "prefetch") as pool:
        fetched = 0
        while waiting and fetched < MOST:
            now, waiting = waiting[: MOST - fetched], []
            fetched += len(now)
            for below in pool.map(partial(_fetch, directories, asked), now):
                if below is None:
                    pool.shutdown(cancel_futures=True)
                    return
                waiting += below


def _fetch(directories: Directories, asked: Asked, path: Path) -> list[Path] | None:
    """Request one, and return the directories in it; None where no more will come."""
    try:
        fresh = directories.refresh(path, asked)
    except (GatewayUnreachable, GatewayTimeout):
        return None
    except TahoeStorageError:
        return []
    # Not what the cache has by now, which may have no place to keep it.
    entries = () if fresh is None else fresh.listing.items()
    return [(*path, name) for name, e in entries if e.kind is EntryKind.DIRECTORY]
