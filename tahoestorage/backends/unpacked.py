"""Objects that are stored packed, read as they were before."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, cast

from tahoestorage.backends.objectreader import ObjectReader
from tahoestorage.exceptions import DamagedDownload


class Unpacked(io.RawIOBase):
    """An object as it was before it was packed, where it is stored packed (gzip).

    ``size`` is that of what is stored.
    """

    def __init__(self, stored: ObjectReader, what: str) -> None:
        self._stored = stored
        self._what = what
        self._file: Any = None
        self.until: int | None = None

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
            self._file = self._stored
            if not self.is_packed:
                self._stored.until = self.until
            else:
                buffered = io.BufferedReader(cast(io.RawIOBase, self._stored))
                self._file = gzip.GzipFile(fileobj=buffered)
        return self._file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into ``buffer``; 0 at the end."""
        file = self._opened()
        try:
            return int(getattr(file, "readinto1", file.readinto)(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            how = "it can't be unpacked"
        raise DamagedDownload(f"{self._what}: the download is not the file ({how})")

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._opened().seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened().tell()) if self._file is not None else 0

    def close(self) -> None:
        """Give up the connection."""
        if not self.closed:
            self._stored.close()
        super().close()
