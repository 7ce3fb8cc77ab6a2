"""Bytes that are nobody's: kept for a time beside all others, and then deleted."""

from __future__ import annotations

from collections.abc import Iterator
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
    try:
        days, _ = storage.listdir(PREFIX)
    except FileNotFoundError:
        return 0
    count = 0
    for day in days:
        try:
            put_on = date.fromisoformat(day)
        except ValueError:
            continue  # Not ours.
        if put_on < last:
            for name in _files(storage, f"{PREFIX}/{day}"):
                count += 1
                if not dry_run:
                    storage.delete(name)
    return count


def _files(storage: Any, directory: str) -> Iterator[str]:
    directories, files = storage.listdir(directory)
    yield from (f"{directory}/{name}" for name in files)
    for name in directories:
        yield from _files(storage, f"{directory}/{name}")
