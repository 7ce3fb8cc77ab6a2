"""Bytes that are nobody's: kept for a time beside all others, and then deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

from django.utils import timezone

PREFIX = "quarantine"
DAYS = 30


def put(storage: Any, key: str) -> str:
    """Move what is at a key into today's quarantine, and return where it is."""
    target = f"{PREFIX}/{timezone.now():%Y-%m-%d}/{key}"
    if hasattr(storage, "move"):
        return str(storage.move(key, target))
    with storage.open(key) as file:
        kept = str(storage.save(target, file))
    storage.delete(key)
    return kept


def expire(storage: Any, *, dry_run: bool = False) -> int:
    """Delete what has been in quarantine for 30 days; return how many files."""
    last = timezone.now().date() - timedelta(days=DAYS)
    count = 0
    for day, put_on in _days(storage):
        if put_on < last:
            for name in _files(storage, f"{PREFIX}/{day}"):
                count += 1
                if not dry_run:
                    storage.delete(name)
    return count


def delete(storage: Any, directory: str, is_to_go: Callable[[str], bool]) -> None:
    """Delete what was put there out of a directory, by the key that it had there."""
    for day, _put_on in _days(storage):
        start = f"{PREFIX}/{day}/"
        for name in list(_files(storage, start + directory)):
            if is_to_go(name.removeprefix(start)):
                storage.delete(name)


def _days(storage: Any) -> Iterator[tuple[str, date]]:
    """Yield the directories of days, and their days."""
    try:
        days, _ = storage.listdir(PREFIX)
    except FileNotFoundError:
        return
    for day in days:
        with contextlib.suppress(ValueError):  # Not ours.
            yield day, date.fromisoformat(day)


def _files(storage: Any, directory: str) -> Iterator[str]:
    try:
        directories, files = storage.listdir(directory)
    except FileNotFoundError:
        return
    yield from (f"{directory}/{name}" for name in files)
    for name in directories:
        yield from _files(storage, f"{directory}/{name}")
