"""The SHA-256 of all that has come, which the next process goes on with.

hashlib hands on no state; rehashes does, on Linux. Without it, or with another release
of it than the one that made the state, the SHA-256 is not known, and what is stored is
read back at the end.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

try:
    import rehashes
except ImportError:
    rehashes = None
    _RELEASE = b""
else:
    _RELEASE = importlib.metadata.version("rehashes").encode() + b":"
_CRC = 4  # bytes


class RunningHash:
    """A SHA-256 under way, of ``taken`` bytes until now.

    ``state`` is what an earlier one left of them, None for nothing. With ``crc32c`` the
    CRC-32C goes with it, which Google tells of what it has.
    """

    def __init__(
        self, taken: int, state: bytes | memoryview | None, *, crc32c: bool = False
    ) -> None:
        self._hash: Any = None
        self._crc: int | None = None
        if rehashes is None:
            return
        if not taken:
            self._hash = rehashes.PySha256()
            self._crc = 0 if crc32c else None
        elif state is not None and bytes(state).startswith(_RELEASE):
            state = bytes(state).removeprefix(_RELEASE)
            if crc32c:
                self._crc = int.from_bytes(state[:_CRC])
                state = state[_CRC:]
            self._hash = rehashes.PySha256.deserialize(state)

    def update(self, data: bytes) -> None:
        """Take what comes next."""
        if self._hash is not None:
            self._hash.update(data)
        if self._crc is not None:
            # Google's library brings it; nobody else asks for it.
            from google_crc32c import extend

            self._crc = extend(self._crc, data)

    @property
    def state(self) -> bytes | None:
        """What is to be handed on; None where the SHA-256 is not known."""
        if self._hash is None:
            return None
        return _RELEASE + (self.crc32c or b"") + bytes(self._hash.serialize())

    @property
    def sha256(self) -> str | None:
        """The SHA-256 in hex, if it is known."""
        return None if self._hash is None else str(self._hash.finalize())

    @property
    def crc32c(self) -> bytes | None:
        """The CRC-32C, big-endian, if it is known."""
        return None if self._crc is None else self._crc.to_bytes(_CRC)
