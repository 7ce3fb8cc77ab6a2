"""An entry: kind, size, times and reference of one name in a store."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class EntryKind(enum.Enum):
    """What a name stands for."""

    FILE = "f"
    DIRECTORY = "d"
    UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one name, never more than a reader of it may know.

    ``kind`` says whether it is a file. ``reference`` is what reads it: a read cap on
    Tahoe, an ETag on S3, a generation on Google Cloud Storage. It is a secret, hence
    not in the repr. ``size`` is in bytes, ``created`` and ``modified`` are seconds
    since 1970; None is "not known".
    """

    kind: EntryKind
    reference: str = field(repr=False)
    size: int | None = None
    created: float | None = None
    modified: float | None = None

    @property
    def leads_nowhere(self) -> bool:
        """Whether the name is linked to nothing at all: a child without any cap.

        Other tools leave such a link where a file was deleted. It takes the name, as a
        broken link on a disk does, and is no file.
        """
        return self.kind is EntryKind.UNKNOWN and not self.reference
