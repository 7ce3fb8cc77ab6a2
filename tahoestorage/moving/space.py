"""An estimate of the space that files will take on the servers of a grid."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from tahoestorage.moving.names import digest
from tahoestorage.tahoe.caps import LITERAL_LIMIT

SEGMENT = 1 << 20
# Tahoe-LAFS: allmydata/storage/immutable.py and immutable/layout.py, version 1. The
# rest is the URI extension block, whose numbers are as long as they are.
CONTAINER, LEASE, HEADER, EXTENSION = 12, 72, 36, 330
HASH = 32
# Seen on a real grid: an empty directory, and each name in it, without the name.
DIRECTORY, LINK = 2600, 300
# Each share is a file, in a directory of its own on its server.
BLOCK = 4096
_SHARES = re.compile(r"(\d{1,3})/(\d{1,3})")


@dataclass(frozen=True)
class Spread:
    """How a grid spreads files: any ``needed`` of ``total`` shares restore one."""

    needed: int = 3
    total: int = 10

    @classmethod
    def parse(cls, text: str) -> Spread:
        """Return the numbers in a text such as 3/10. Raises ValueError."""
        found = _SHARES.fullmatch(text.strip())
        if not found or not 1 <= int(found[1]) <= int(found[2]) <= 256:
            raise ValueError(f"{text!r} is not such as 3/10: needed/total shares")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.needed}/{self.total}"

    def share(self, size: int) -> int:
        """Return the bytes of one share of a file of ``size`` bytes."""
        if size <= LITERAL_LIMIT:
            return 0
        segments = -(-size // (-(-SEGMENT // self.needed) * self.needed))
        hashes = 3 * HASH * (2 * (1 << (segments - 1).bit_length()) - 1)
        chain = (2 + HASH) * ((self.total - 1).bit_length() + 1)
        data = -(-size // self.needed)
        return CONTAINER + HEADER + data + hashes + chain + EXTENSION + LEASE

    def on_disk(self, share: float) -> int:
        """Return the bytes that all shares of that size take on their servers."""
        if not share:
            return 0
        return self.total * (BLOCK * -int(-share // BLOCK) + BLOCK)


SHARES = Spread()


class Space:
    """Sums up what files and their directories take. Safe in threads."""

    def __init__(self, shares: Spread) -> None:
        self.shares = shares
        self._lock = threading.Lock()
        self._files = 0
        self._links = 0
        self._directories: set[bytes] = set()

    def add(self, name: str, size: int) -> None:
        """Add a file of ``size`` bytes, and the directories above it."""
        directory, _, last = name.rpartition("/")
        taken = self.shares.on_disk(self.shares.share(size))
        link = LINK + len(last.encode("utf-8", "surrogatepass"))
        if size <= LITERAL_LIMIT:
            # The content is in the link.
            link += 8 * size // 5
        with self._lock:
            self._files += taken
            self._links += link
            while directory and digest(directory) not in self._directories:
                self._directories.add(digest(directory))
                directory = directory.rpartition("/")[0]

    @property
    def bytes(self) -> int:
        """About how many bytes are taken on the disks of all servers together."""
        count = len(self._directories)
        links = (self._links + count * LINK) // self.shares.needed
        each = DIRECTORY + BLOCK + BLOCK // 2
        return self._files + self.shares.total * (links + count * each)
