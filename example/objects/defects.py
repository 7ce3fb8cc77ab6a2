"""What a sweep finds in a store: defects, and how many of each."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from objects.models import Version

SHARE = 0.01
"""More than this of all names is suspicious: another store, an empty database."""
MOST_TOLD = 100
"""Keys of missing bytes, of each store."""


class Defect(enum.StrEnum):
    """What is wrong with a name."""

    ORPHAN = "bytes without a row"
    COPY = "bytes that were moved elsewhere"
    NAMESAKE = "bytes that a row names in another store"
    MISSING = "row without bytes"
    RETURNED = "bytes that were missing"
    PENDING = "upload of a dead process"
    PART = "part of an upload without a row"
    UNFINISHED = "upload in parts that nobody ends"


@dataclass(frozen=True)
class FoundDefect:
    """One defect, with the row, where there is one."""

    defect: Defect
    store: str
    key: str
    version: Version | None = None
    is_noted: bool = False
    """Whether a copy was written down when it was made, or left."""
    end: Callable[[], None] | None = None
    """What ends an unfinished upload."""


@dataclass
class SweepResult:
    """What a sweep found, by its finding, and what it did, in words."""

    names: int = 0
    is_used: bool = True
    """Whether the application keeps anything in the store."""
    found: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    """The first of the keys of rows without bytes."""

    wrong: int = 0
    """Names that are not as a killed process leaves them."""

    @property
    def is_suspicious(self) -> bool:
        """Whether so much is wrong that somebody should look first."""
        return self.wrong > SHARE * self.names

    def note(self, found: FoundDefect) -> None:
        """Count a defect."""
        self.found[found.defect] += 1
        if found.defect is Defect.MISSING:
            if len(self.missing) < MOST_TOLD:
                self.missing.append(found.key)
            # Once it was told, it stops no later sweep.
            version = found.version
            self.wrong += version is not None and version.missing_since is None
        elif found.defect is Defect.COPY:
            self.wrong += self.is_used and not found.is_noted
        elif found.defect in (Defect.ORPHAN, Defect.PART, Defect.NAMESAKE):
            # Where nothing is kept they are another's, and stay.
            self.wrong += self.is_used
