"""What came of a bad day."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class DayOutcome:
    """Counts of one day; ``back`` are the seconds until a change is made again."""

    acknowledged: int = 0
    lost: int = 0
    strange: int = 0
    """Names with what nobody has saved: half a file, or a file that nobody named."""
    is_read: bool = True
    """Whether somebody read meanwhile, and what callers were told was counted."""
    reads: int = 0
    wrong: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    unclear: int = 0
    """Errors that are not this package's, or say nothing, or a secret."""
    missed: int = 0
    """Figures that were to be met, and were not."""
    failed: str = ""
    """Why the day broke off, if it did: nothing was counted then."""
    note: str = ""
    """What else there is to say."""
    back: float | None = None
    """The longest, where a fault came several times. None: there was nothing to wait
    for."""

    @property
    def is_well(self) -> bool:
        """Whether it was survived, and anything was tried at all."""
        bad = self.lost + self.strange + self.wrong + self.unclear + self.missed
        return bad == 0 and self.acknowledged > 0 and not self.failed

    def count_errors(self, errors: dict[str, int], unclear: dict[str, int]) -> None:
        """Add errors that somebody was told of, by their types."""
        self.errors = dict(sorted((Counter(self.errors) + Counter(errors)).items()))
        self.unclear += sum(unclear.values())

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> Self:
        """Return what `as_json` was made from."""
        return cls(**found)
