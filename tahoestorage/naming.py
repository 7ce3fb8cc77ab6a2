"""Names that spread many files evenly over directories::

    from tahoestorage.naming import HashedPath

    class Attachment(models.Model):
        file = models.FileField(upload_to=HashedPath("attachments"), max_length=255)

A directory of a grid is one file, which each new name rewrites: it should stay small.
And each directory costs a request when it is made: there should be few. So there are
just as many as are needed for the number of files that is expected.

S3 and Google Cloud Storage have no directories, and spread a bucket's load by how its
keys begin. There ``hash_first`` puts the hash before the prefix::

    file = models.FileField(upload_to=HashedPath("attachments", hash_first=True))
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from django.core.files.utils import validate_file_name
from django.utils.deconstruct import deconstructible

__all__ = ["FILES", "HashedPath", "hashed_directory"]

FILES = 100_000
"""How many files are expected where nothing else is said."""
# So many in a directory on average leaves six standard deviations below 512.
_FULL = 393
_MOST_BITS = 9  # of one level: 512 directories


def hashed_directory(key: str, files: int = FILES) -> str:
    """Return the directory, such as ``"3f"``, of what has the key.

    It follows from a hash of the key (SHA-256), and is the same in every release. As
    long as there are at most ``files`` keys, no directory has more than 512 names, and
    64 files or more share one, on average. For a few hundred files there are no
    directories, and ``""`` is returned; for more than 201,216 there are two levels or
    more, such as ``"1f/07"``.
    """
    leaves = max(0, (-(-files // _FULL) - 1).bit_length())
    levels = -(-leaves // _MOST_BITS)
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest())
    parts = []
    used = 0
    for level in range(levels):
        bits = leaves // levels + (level < leaves % levels)
        used += bits
        part = digest >> (256 - used) & ((1 << bits) - 1)
        parts.append(f"{part:0{-(-bits // 4)}x}")
    return "/".join(parts)


@deconstructible(path="tahoestorage.naming.HashedPath")
class HashedPath:
    """An ``upload_to`` that spreads a field's files evenly over directories.

    A file keeps its own name, below ``prefix`` and a directory that follows from a hash
    of the row's key and that name; where the row has no key yet, of something random.
    As long as there are at most ``files``, no directory has more than 512 names, and 64
    files or more share one, on average. With twice the files there are twice the names.
    Directories use lower-case letters and digits, so that all stores can have them.

    With ``hash_first`` the prefix comes after that directory: ``3f/attachments/a.pdf``.
    So keys of an object store begin with the hash, unless the storage has a
    ``location``, and can't be listed by the prefix any more. A grid gains nothing by
    it, and gets twice the directories.

    Migrations write it as it was made. Another ``prefix``, number or order counts for
    new files only: those that are stored keep their names. Raises
    SuspiciousFileOperation for a prefix that leads out of the store, and ValueError for
    no number of files.
    """

    def __init__(
        self, prefix: str = "", *, files: int = FILES, hash_first: bool = False
    ) -> None:
        if prefix.strip("/"):
            validate_file_name(prefix.strip("/"), allow_relative_path=True)
        if files < 1:
            raise ValueError(f"files is {files}; expected 1 or more")
        self.prefix = prefix.strip("/")
        self.files = files
        self.hash_first = hash_first

    def __call__(self, instance: Any, filename: str) -> str:
        """Return the name of a file of ``instance``, a row of any model."""
        row = secrets.token_hex(16) if instance.pk is None else instance.pk
        directory = hashed_directory(f"{row}/{filename}", self.files)
        above = self.prefix, directory
        parts = (*(reversed(above) if self.hash_first else above), filename)
        return "/".join(part for part in parts if part)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashedPath):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[str, int, bool]:
        return self.prefix, self.files, self.hash_first
