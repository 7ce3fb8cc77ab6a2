"""The verdict of a check on an object, and the sum of them."""

from __future__ import annotations

import enum
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tahoestorage.display import LISTED, shown
from tahoestorage.redaction import redact
from tahoestorage.tahoe.checkresults import CheckResults


class State(enum.Enum):
    """What became of one name in a check."""

    WHOLE = "whole"
    REPAIRED = "repaired"
    HURT = "hurt"
    LOST = "lost"
    UNCHECKED = "unchecked"
    FAILED = "failed"


STATUSES = {
    State.LOST: 3,
    State.FAILED: 4,
    State.HURT: 2,
    State.REPAIRED: 1,
}
"""The exit status for each, the most urgent first; 0 where there is none of these."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of one object, and why it is that, in words."""

    state: State
    why: str = ""


WHOLE = Verdict(State.WHOLE)


def judge(results: CheckResults) -> Verdict:
    """Return what results mean: WHOLE, HURT or LOST.

    ``healthy`` alone says too little: a directory that was changed while a server was
    away is called unhealthy though all its shares are there, and a file with a damaged
    share is called healthy if it has another copy of that.
    """
    if not results.recoverable:
        return Verdict(State.LOST, "too few shares of it are there to restore it")
    reasons = []
    if results.good < results.expected:
        reasons.append(f"{results.good} of {results.expected} shares are sound")
    if results.corrupt:
        reasons.append(f"damaged shares: {results.corrupt}")
    if results.good >= results.expected and results.stale == 0 and results.versions < 2:
        # What is damaged has a sound copy elsewhere, and no gateway repairs it.
        if results.healthy or not results.expected:
            return Verdict(State.WHOLE, "; ".join(reasons))
        reasons.append("the gateway calls it unhealthy")
    if results.stale or results.versions > 1:
        reasons.append("a server has an older version, having missed a change")
    return Verdict(State.HURT, "; ".join(reasons))


def better(one: CheckResults | None, other: CheckResults) -> CheckResults:
    """Return those of two results that saw more: a share that was seen is there."""

    def seen(results: CheckResults) -> tuple[bool, int, bool]:
        return results.recoverable, results.good, results.healthy

    return other if one is None or seen(other) > seen(one) else one


class CheckSummary:
    """The counts of a check, and what is not whole. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.counts: Counter[State] = Counter()
        self.reused = 0
        """How many names were not looked at, for the record has them."""
        self.notable: list[tuple[str, Verdict]] = []
        self.servers: dict[str, list[str] | None] = {"start": None, "end": None}
        self.missing: set[str] = set()
        """Servers that were not connected then, of all that were ever seen."""
        self.outage: str | None = None
        """Why the check ended early, where it did."""
        self.interrupted = False

    def add(self, path: str, verdict: Verdict, *, reused: bool = False) -> None:
        """Count a name."""
        with self._lock:
            self.counts[verdict.state] += 1
            self.reused += reused
            if verdict != WHOLE and len(self.notable) < LISTED:
                self.notable.append((path, verdict))

    @property
    def checked(self) -> int:
        """How many names were dealt with so far."""
        return self.counts.total()

    @property
    def seconds(self) -> float:
        """Seconds since the check began."""
        return time.monotonic() - self._started

    @property
    def exit_status(self) -> int:
        """0 all whole, 1 repaired, 2 hurt, 3 lost, 4 not all could be looked at."""
        if self.counts[State.LOST]:
            return STATUSES[State.LOST]
        if self.outage is not None:
            return STATUSES[State.FAILED]
        return next((s for state, s in STATUSES.items() if self.counts[state]), 0)

    @property
    def status(self) -> str:
        """The same in a word; "interrupted" after Ctrl-C."""
        if self.interrupted:
            return "interrupted"
        words = {number: state.value for state, number in STATUSES.items()}
        return words.get(self.exit_status, State.WHOLE.value)

    def text(self) -> str:
        """Return the counts in one line, and a line on the servers."""
        parts = [f"{self.counts[State.WHOLE]:,} whole"]
        parts += [
            f"{self.counts[state]:,} {words}"
            for state, words in (
                (State.REPAIRED, "repaired"),
                (State.HURT, "readable, and to be repaired"),
                (State.LOST, "not readable"),
                (State.UNCHECKED, "that can't be checked"),
                (State.FAILED, "failed"),
            )
            if self.counts[state]
        ]
        reused = f", {self.reused:,} of them by the record" if self.reused else ""
        lines = [
            f"{self.checked:,} files and directories{reused}: {', '.join(parts)}; "
            f"{self.seconds:.1f} s"
        ]
        for when, names in self.servers.items():
            if names is not None:
                said = ", ".join(names) or "none"
                lines.append(f"Servers connected at the {when}: {len(names)} ({said})")
        if self.missing:
            said = ", ".join(sorted(self.missing))
            lines.append(f"Servers that were away, whose leases are old: {said}")
        return "\n".join(lines)

    def counts_as_dict(self) -> dict[str, Any]:
        """Return the counts and the servers, without any name of a file."""
        return {
            "status": self.status,
            "checked": self.checked,
            "reused": self.reused,
            **{state.value: self.counts[state] for state in State},
            "seconds": round(self.seconds, 3),
            "servers": self.servers,
            "missing": sorted(self.missing),
            "outage": self.outage,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, without secrets."""
        return {
            **self.counts_as_dict(),
            "findings": [
                {"path": redact(path), "state": f.state.value, "reason": f.why}
                for path, f in sorted(self.notable, key=lambda pair: pair[0])
            ],
        }


def line_of(path: str, verdict: Verdict) -> str:
    """Return what is said of one name."""
    word = verdict.state.value if verdict.state is not State.WHOLE else "note"
    return f"{word}: {shown(path) if path else 'the root directory'}: {verdict.why}"
