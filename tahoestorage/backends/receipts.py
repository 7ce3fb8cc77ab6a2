"""What a store says of a file's bytes in its response to the request that saved it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Receipts = dict[str, Mapping[str, bytes]]
"""The digests that were told, by algorithm, of each file by its name."""
_kept: ContextVar[tuple[object, Receipts] | None] = ContextVar("receipts", default=None)


@contextmanager
def receipts_of(storage: object) -> Iterator[Receipts]:
    """Keep what is told of files that this thread saves by ``storage``, in this block.

    The newest save of a name counts.
    """
    kept: Receipts = {}
    token = _kept.set((storage, kept))
    try:
        yield kept
    finally:
        _kept.reset(token)


def keep(storage: Any, name: str, digests: Callable[[], Mapping[str, bytes]]) -> None:
    """Keep the digests of a file, where somebody asked for them."""
    kept = _kept.get()
    if kept is not None and kept[0] is storage:
        kept[1][name] = digests()
