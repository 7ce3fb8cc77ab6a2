"""Reads objects that are stored packed (gzip), unpacked."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any, cast

from tahoestorage.backends.objectreader import BLOCK, ObjectReader
from tahoestorage.exceptions import DamagedDownload


class Unpacked(io.RawIOBase):
    """An object, unpacked while it is read where the storage has packed it (gzip).

    Any other object is read as it is. ``size`` is the size in the store, in bytes.
    What can't be unpacked raises DamagedDownload.
    """

    def __init__(
        self,
        stored: ObjectReader,
        label: str,
        *,
        rarely: bool = False,
        likely: bool = False,
    ) -> None:
        """Read ``stored``; ``label`` is what errors call it.

        Where objects are packed ``rarely``, no request is made to find it out: the
        first read tells. A seek from the end before that asks only where the name makes
        it ``likely``. Elsewhere the next read raises UnsupportedOperation if the object
        was packed after all, for its end was not known.
        """
        self._stored = stored
        self._label = label
        self._rarely = rarely
        self._likely = likely
        # Whether the position was counted from the end of what is stored.
        self._from_end = False
        self._file: Any = None
        self._buffered: io.BufferedReader
        self._failed = False
        self._until: int | None = None

    @property
    def until(self) -> int | None:
        """Where the caller will stop, if it says so; of no use for what is packed."""
        return self._until

    @until.setter
    def until(self, until: int | None) -> None:
        self._until = until
        if self._file is self._stored:
            self._stored.until = until

    @property
    def is_packed(self) -> bool:
        """Whether it is stored in another form than it is read in."""
        return self._stored.encoding == "gzip"

    @property
    def reference(self) -> str | None:
        """What is read, once something was."""
        return self._stored.reference

    @property
    def size(self) -> int:
        """Bytes in all, as they are stored."""
        return self._stored.size

    def _opened(self) -> Any:
        self._checkClosed()
        if self._file is None:
            stored = self._stored
            if not self.is_packed:
                stored.until = self.until
                self._file = stored
            else:
                if self._from_end:
                    self._from_end = False
                    stored.seek(0)
                    raise io.UnsupportedOperation(
                        f"{self._label}: it is stored packed, so that where its end is "
                        "was not known: read some of it before seeking from the end"
                    )
                position, stored.until = stored.tell(), None
                stored.seek(0)
                self._buffered = io.BufferedReader(cast(io.RawIOBase, stored))
                self._file = gzip.GzipFile(fileobj=self._buffered)
                if position:
                    self._file.seek(position)
        return self._file

    @property
    def _is_unknown(self) -> bool:
        """Whether nothing has told yet how it is stored, nor need be asked for it."""
        self._checkClosed()
        return self._rarely and self._file is None and self._stored.reference is None

    def _learn(self, position: int) -> None:
        """Read one byte at ``position``, to learn how the object is stored."""
        stored = self._stored
        before, stored.until = stored.tell(), self.until
        stored.seek(position)
        try:
            stored.read(1)
        except BaseException:
            if position != before:
                stored.seek(before)
            raise
        stored.seek(before)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into ``buffer``; 0 at the end."""
        if self._is_unknown:
            self._learn(self._stored.tell())
        if self._failed:
            raise self._damaged("an earlier read failed; seek before reading on")
        with self._unpacking():
            file = self._opened()
            return int(getattr(file, "readinto1", file.readinto)(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position; what is packed is read up to there, or to its end."""
        from_end = whence == io.SEEK_END
        size = self._stored.expected_size
        if from_end and size is None:
            # It has to be asked for, and that tells the rest, too.
            size = self._stored.size
        if self._is_unknown:
            if not (from_end and self._likely and size):
                self._from_end = from_end or (self._from_end and whence == io.SEEK_CUR)
                return self._stored.seek(offset, whence)
            # Whoever goes to the end reads what is there; the rest of a small one, too.
            self._learn(size - 1 if size > BLOCK else 0)
        if self._failed:
            # What unpacks is of no use any more: it begins anew.
            if whence == io.SEEK_CUR:
                offset, whence = offset + self.tell(), io.SEEK_SET
            # It would close what it reads.
            self._buffered.detach()
            self._file, self._failed = None, False
            self._stored.seek(0)
        with self._unpacking():
            return int(self._opened().seek(offset, whence))

    @contextlib.contextmanager
    def _unpacking(self) -> Iterator[None]:
        """Raise DamagedDownload for what can't be unpacked.

        After that, and any other error, a seek must come before the next read.
        """
        try:
            yield
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self._failed = True
        except BaseException:
            self._failed = self._file is not None and self._file is not self._stored
            raise
        else:
            return
        raise self._damaged("it can't be unpacked")

    def _damaged(self, how: str) -> DamagedDownload:
        return DamagedDownload(f"{self._label}: the download is not the file ({how})")

    def tell(self) -> int:
        self._checkClosed()
        return int((self._stored if self._file is None else self._file).tell())

    def close(self) -> None:
        """Give up the connection."""
        if not self.closed:
            self._stored.close()
        super().close()
