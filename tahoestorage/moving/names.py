"""Names: which of them a store can keep, and which would collide there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from tahoestorage.display import ReadableError


class BadName(ReadableError, ValueError):
    """A name that no file can have, or that can't be asked for."""


class NoFile(BadName):
    """A listed name that is no file: there is nothing to copy."""


class FolderMark(NoFile):
    """An empty object whose key ends in "/": web consoles make one for a folder."""


@dataclass(frozen=True)
class NameRules:
    """Which names a store takes.

    ``nfc``: it keeps names in Unicode's form NFC. ``tree``: no name is a file and a
    directory at once. ``forbidden``: characters that no name has. ``encode`` gives the
    bytes of a name, of which a part between slashes has ``part_bytes`` at most and all
    of it ``name_bytes``; None sets no limit.
    """

    nfc: bool = False
    tree: bool = False
    forbidden: str = ""
    encode: Callable[[str], bytes] | None = None
    part_bytes: int | None = None
    name_bytes: int | None = None

    def error(self, name: str) -> str | None:
        """Return what is wrong with a name, or None where it can be kept as it is."""
        if name.startswith("/"):
            return "it begins with /"
        if name.endswith("/"):
            return "it ends with /, as a mark for a folder does"
        parts = name.split("/")
        if "" in parts:
            return "it has an empty part, as in a//b"
        if "." in parts or ".." in parts:
            return "it has a part that is . or .."
        for character in self.forbidden:
            if character in name:
                return f"it has {character!a} in it"
        return self._unstorable(name, parts)

    def _unstorable(self, name: str, parts: list[str]) -> str | None:
        if self.encode is not None:
            try:
                longest = max(len(self.encode(part)) for part in parts)
                length = len(self.encode(name))
            except UnicodeEncodeError:
                return "it is not valid Unicode"
            if self.part_bytes is not None and longest > self.part_bytes:
                return f"a part of it has {longest} bytes, and not {self.part_bytes}"
            if self.name_bytes is not None and length > self.name_bytes:
                return f"it has {length} bytes, and not {self.name_bytes} at most"
        if self.nfc and not unicodedata.is_normalized("NFC", name):
            return "it is not in NFC, the spelling in which names are kept"
        return None


def utf8(name: str) -> bytes:
    """Return a name in UTF-8. Raises UnicodeEncodeError for lone surrogates."""
    return name.encode()


def digest(name: str) -> bytes:
    """Return 16 bytes that stand for a name, by BLAKE2."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Names:
    """The names seen so far, as 16 bytes each, and what is wrong with each new one.

    ``error`` returns what is wrong with a name by itself, or None.
    """

    def __init__(self, rules: NameRules, error: Callable[[str], str | None]) -> None:
        self._rules = rules
        self._error = error
        self._files: set[bytes] = set()
        self._directories: set[bytes] = set()
        self._spared: set[bytes] = set()
        self._last = ""

    def __contains__(self, name: str) -> bool:
        return digest(name) in self._files

    def __len__(self) -> int:
        return len(self._files)

    def add(self, name: str) -> str | None:
        """Add a name, and return what is wrong with it, if anything is.

        A name must not be added twice.
        """
        error = self._error(name)
        kept = unicodedata.normalize("NFC", name) if self._rules.nfc else name
        key = digest(kept)
        if key in self._files:
            error = f"it and another name are both {kept!r} in NFC"
        self._files.add(key)
        return error or (self._clash(kept, key) if self._rules.tree else None)

    def spare(self, name: str) -> None:
        """Have a name, and all below it, not be deleted from the target."""
        name = name.rstrip("/")
        kept = unicodedata.normalize("NFC", name) if self._rules.nfc else name
        self._spared.add(digest(kept))

    def spares(self, name: str) -> bool:
        """Whether ``spare`` was called for a name or a directory above it."""
        while self._spared and name:
            if digest(name) in self._spared:
                return True
            name = name.rpartition("/")[0]
        return False

    def _clash(self, name: str, key: bytes) -> str | None:
        if key in self._directories:
            return "it is a file here, and a directory in other names"
        directory = name.rpartition("/")[0]
        if directory == self._last:
            return None
        above = directory
        while above:
            key = digest(above)
            if key in self._files:
                return f"{above!r} is a file too, and can't be a directory"
            self._directories.add(key)
            above = above.rpartition("/")[0]
        self._last = directory
        return None
