"""Paths within an archive that unpack alike on every system.

Names of objects are free where those of files are not: Windows reserves some, most
systems fold case or forms of Unicode, and some cut what is long. So a path in an
archive is made of an object's name, and the manifest has the name as it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

MAX_PART = 100  # characters of a folder or a name
MAX_PART_BYTES = 200  # UTF-8: file systems take 255, some less when encrypted
MAX_PATH = 180  # characters: Windows takes 259 with the folder that it is unpacked into
LONG = "long"
"""The folder of what lies too deep."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE
)
# Of no letter: control characters, marks of direction, halves of pairs, private ones,
# and spaces that look like the usual one.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
# These join letters, which words and pictures need; and the usual space.
_JOINERS = {"\u200c", "\u200d", " "}
_MAX_SUFFIX = 16  # characters of an extension that is kept


class SafePaths:
    """Gives paths in an archive: no two alike on any system, none a folder of another.

    A name that was taken gets a number. Of each path a few bytes are held. Where two
    hashes of paths are equal by chance, one gets a number that it needs not.
    """

    def __init__(self) -> None:
        self._folders: set[int] = set()
        self._taken: set[int] = set()
        self._numbers: dict[int, int] = {}

    def announce(self, path: str) -> None:
        """Keep the path's folders free of files; to be told of all before the first."""
        folder = _short_path(path).rpartition("/")[0]
        while folder and (key := hash(_key(folder))) not in self._folders:
            self._folders.add(key)
            folder = folder.rpartition("/")[0]

    def take(self, path: str) -> str:
        """Return the path in the archive for a path that was announced."""
        path = trial = _short_path(path)
        first = hash(_key(path))
        while (key := hash(_key(trial))) in self._taken or key in self._folders:
            self._numbers[first] = number = self._numbers.get(first, 1) + 1
            trial = _numbered(path, number)
        self._taken.add(key)
        return trial


def safe_paths(paths: Sequence[str]) -> list[str]:
    """Return a path in the archive for each path, in the same order."""
    safe = SafePaths()
    for path in paths:
        safe.announce(path)
    return [safe.take(path) for path in paths]


# Files come folder by folder.
@lru_cache(maxsize=1024)
def safe_name(name: str) -> str:
    """Return a name for one file or folder, never empty."""
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if _is_hidden(letter) else letter for letter in name)
    name = _FORBIDDEN.sub("_", name).strip()
    stem, suffix = _split(name)
    name = _cut(stem, suffix).rstrip(". ")
    # Of these the system looks at what is before the first dot.
    if not name or _RESERVED.fullmatch(name.partition(".")[0].rstrip()):
        name = f"_{name}"
    return name


def same_on_some_system(path: str) -> str:
    """Return what is equal for two paths that are one file on some system."""
    return _key(path)


def _short_path(path: str) -> str:
    parts = [safe_name(part) for part in path.split("/")]
    short = "/".join(parts)
    return short if len(short) <= MAX_PATH else f"{LONG}/{parts[-1]}"


def _numbered(path: str, number: int) -> str:
    folder, slash, name = path.rpartition("/")
    stem, suffix = _split(name)
    return f"{folder}{slash}{_cut(stem, f' ({number}){suffix}')}"


def _split(name: str) -> tuple[str, str]:
    """Return what is before the extension, and the extension with its dot."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or not suffix or len(suffix) > _MAX_SUFFIX:
        return name, ""
    return stem, dot + suffix


def _cut(stem: str, suffix: str) -> str:
    """Return both, the stem as short as it has to be."""
    stem = stem[: MAX_PART - len(suffix)]
    room = MAX_PART_BYTES - len(suffix.encode())
    # A letter that would be cut in its middle is left out.
    return stem.encode()[:room].decode(errors="ignore").rstrip() + suffix


def _is_hidden(letter: str) -> bool:
    return unicodedata.category(letter) in _HIDDEN and letter not in _JOINERS


def _key(path: str) -> str:
    folded = unicodedata.normalize("NFKC", path).casefold()
    return unicodedata.normalize("NFC", folded)
