"""The hits and misses of a live site's caches, as its processes count them."""

from __future__ import annotations

import os
import re
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tahoestorage.config.settings import metrics_token

PLACE = "PROMETHEUS_MULTIPROC_DIR"
_LOOKUPS = "tahoestorage_cache_lookups_total"
_DROPPED = "tahoestorage_cache_dropped_fills_total"
_FILE = re.compile(r"counter_(\d+)\.db")


@dataclass
class LookupCounts:
    """Look-ups in all caches of a site, ``hits`` and ``misses``.

    Each hit is a request that was spared. ``dropped_fills`` are responses that were not
    kept, as somebody changed the directory meanwhile.
    """

    hits: int = 0
    misses: int = 0
    dropped_fills: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Hits by look-ups, 0 to 1; None where there were none."""
        total = self.hits + self.misses
        return self.hits / total if total else None

    def as_dict(self) -> dict[str, Any]:
        """Return them for JSON."""
        rate = self.hit_rate
        return {
            "hits": self.hits,
            "misses": self.misses,
            "hit_rate": None if rate is None else round(rate, 4),
            "requests_spared": self.hits,
            "dropped_fills": self.dropped_fills,
        }


@dataclass
class LiveCounts:
    """The counts of each of ``processes``, by its id, since the site was started.

    ``why_none`` says, where nothing is recorded, what to do.
    """

    why_none: str | None = None
    processes: dict[int, LookupCounts] = field(default_factory=dict)

    @property
    def total(self) -> LookupCounts:
        """The sums."""
        found = self.processes.values()
        return LookupCounts(
            sum(each.hits for each in found),
            sum(each.misses for each in found),
            sum(each.dropped_fills for each in found),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "is_recorded": self.why_none is None,
            "why_not": self.why_none,
            **self.total.as_dict(),
            "processes": [
                {"pid": pid, "is_running": is_running(pid), **each.as_dict()}
                for pid, each in sorted(self.processes.items())
            ],
        }


def live_counts() -> LiveCounts:
    """Read what the processes of the site have counted. Raises nothing.

    Where they are several, or others than this one, they count in files below
    PROMETHEUS_MULTIPROC_DIR. Source: prometheus_client, "Multiprocess Mode".
    """
    if metrics_token() is None:
        return LiveCounts("the site counts nothing: set TAHOE_METRICS_TOKEN")
    place = os.environ.get(PLACE)
    if not place:
        return LiveCounts(
            f"{PLACE} is not set here: each process counts for itself, and only the "
            "view of metrics tells. Set it for the site and for this command"
        )
    # An extra, which is there if the token is set.
    from prometheus_client.multiprocess import MultiProcessCollector

    found: dict[int, LookupCounts] = defaultdict(LookupCounts)
    try:
        files = sorted(Path(place).iterdir())
    except OSError as error:
        return LiveCounts(f"{place} can't be read: {error.strerror}")
    for file in files:
        if name := _FILE.fullmatch(file.name):
            try:
                metrics = list(MultiProcessCollector.merge([str(file)]))
            except (OSError, ValueError, RuntimeError, struct.error):
                # Its process has just begun it, or was killed then.
                continue
            for metric in metrics:
                for sample in metric.samples:
                    _add(found[int(name[1])], sample)
    used = {pid: each for pid, each in found.items() if each != LookupCounts()}
    why = None if used else f"no process has counted anything in {place} yet"
    return LiveCounts(why, used)


def _add(counts: LookupCounts, sample: Any) -> None:
    if sample.name == _DROPPED:
        counts.dropped_fills += int(sample.value)
    elif sample.name == _LOOKUPS:
        if sample.labels.get("result") == "hit":
            counts.hits += int(sample.value)
        else:
            counts.misses += int(sample.value)


def is_running(pid: int) -> bool:
    """Whether there is a process of this id on this host."""
    return Path(f"/proc/{pid}").exists()
