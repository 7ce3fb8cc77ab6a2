"""What a run has done: counts, names and errors, for people and as JSON."""

from __future__ import annotations

import threading
import time
from typing import Any

from tahoestorage.display import LISTED, shown_bytes
from tahoestorage.exceptions import (
    DamagedDownload,
    NameTaken,
    NotEnoughServers,
    NotEnoughShares,
    WriteCollision,
)
from tahoestorage.moving.content import SourceChanged
from tahoestorage.moving.copier import Outcome
from tahoestorage.redaction import redact

# The cause of these ends by itself: an outage, or what another process does.
_TEMPORARY = (
    SourceChanged,
    ConnectionError,
    DamagedDownload,
    NameTaken,
    NotEnoughServers,
    NotEnoughShares,
    TimeoutError,
    WriteCollision,
)


def passes(error: Exception) -> bool:
    """Whether the next run may succeed where this error was, without any help."""
    return isinstance(error, _TEMPORARY)


class Summary:
    """What became of the files of a run. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.status = "done"
        self.seen = 0
        self.bytes = 0
        self.failed = 0
        self.lasting = 0
        """How many of the failed ones will fail again unless something is corrected."""
        self.refused = 0
        self.stopping = 0
        """How many of the refused names stop the run before anything is copied."""
        self.folder_marks = 0
        self.deleted = 0
        self.counts = dict.fromkeys(Outcome, 0)
        self.failures: list[tuple[str, str]] = []
        self.refusals: list[tuple[str, str]] = []
        self.kept: list[str] = []
        self.extra: list[str] = []
        self.to_copy: list[str] = []
        self._would_copy = 0

    def done(self, name: str, outcome: Outcome, size: int) -> None:
        """Count a file; ``size`` is its bytes."""
        with self._lock:
            self.counts[outcome] += 1
            if outcome is Outcome.COPIED:
                self.bytes += size
            elif outcome is Outcome.KEPT and len(self.kept) < LISTED:
                self.kept.append(name)

    def fail(self, name: str, why: str, *, passes: bool) -> None:
        """Count a file that was not copied, or not deleted."""
        with self._lock:
            self.failed += 1
            self.lasting += not passes
            if len(self.failures) < LISTED:
                self.failures.append((name, why))

    def refuse(self, name: str, why: str, *, stops: bool = True) -> None:
        """Count a name that can't be copied; by default it stops the run."""
        with self._lock:
            self.refused += 1
            self.stopping += stops
            if len(self.refusals) < LISTED:
                self.refusals.append((name, why))

    def pass_over(self, name: str, why: str) -> None:
        """Count a name that is refused because it is no file: the others are copied."""
        self.refuse(name, why, stops=False)

    def delete(self, name: str) -> None:
        """Count a file that was only in the target."""
        with self._lock:
            self.deleted += 1
            if len(self.extra) < LISTED:
                self.extra.append(name)

    def would_copy(self, name: str) -> int:
        """Note a file that a dry run did not copy; return how many these are so far."""
        with self._lock:
            self._would_copy += 1
            if len(self.to_copy) < LISTED:
                self.to_copy.append(name)
            return self._would_copy

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def text(self, *, dry_run: bool) -> str:
        """Return the counts in one line for people."""
        counts = {outcome.value: count for outcome, count in self.counts.items()}
        amount = shown_bytes(self.bytes)
        would = "would be " if dry_run else ""
        parts = [
            f"{self.counts[Outcome.COPIED]:,} {would}copied ({amount})",
            f"{self.counts[Outcome.SKIPPED]:,} skipped as unchanged",
        ]
        if counts["kept"]:
            parts.append(f"{counts['kept']:,} kept, which differ and are newer in TO")
        if counts["gone"]:
            parts.append(f"{counts['gone']:,} gone from FROM meanwhile")
        if passed := self.refused - self.stopping:
            parts.append(f"{passed:,} refused, which are no files")
        if self.folder_marks:
            parts.append(f"{self.folder_marks:,} marks for folders left out")
        parts.append(f"{self.failed:,} failed")
        parts.append(f"{self.deleted:,} {would}deleted")
        return f"{self.seen:,} files: {', '.join(parts)}; {self.seconds:.1f} s"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, with secrets left out."""
        return {
            "status": self.status,
            "seen": self.seen,
            **{outcome.value: count for outcome, count in self.counts.items()},
            "failed": self.failed,
            "deleted": self.deleted,
            "refused": self.refused,
            "folder_marks": self.folder_marks,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "failures": _listed(self.failures),
            "refusals": _listed(self.refusals),
            "would_copy_names": [redact(name) for name in sorted(self.to_copy)],
            "kept_names": [redact(name) for name in sorted(self.kept)],
            "deleted_names": [redact(name) for name in sorted(self.extra)],
        }


def _listed(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": redact(name), "reason": why} for name, why in sorted(pairs)]
