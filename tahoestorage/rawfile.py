"""What files that are read lazily have in common, wherever they are kept."""

from __future__ import annotations

import io

from tahoestorage.exceptions import DamagedDownload


class RawFile(io.RawIOBase):
    """A position in a file that is read as it is asked for.

    After a read that failed, a seek must come before the next one, lest a buffer that
    was lost with it leave a gap: it takes ``_failed`` back. ``label`` is what errors
    call the file.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._position = 0
        self._failed = False
        self.until: int | None = None
        """Where the caller will stop, if it says so: no more is asked for."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position; nothing is asked for before a read."""
        self._checkClosed()
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self.size
        elif whence != io.SEEK_SET:
            raise ValueError(f"{self._label!r}: whence is 0, 1 or 2, and not {whence}")
        if offset < 0:
            raise ValueError(f"{self._label!r}: there is nothing before the first byte")
        self._position = offset
        self._failed = False
        return offset

    def _damaged(self, how: str) -> DamagedDownload:
        return DamagedDownload(
            f"{self._label}: the download is not the file ({how}); try again"
        )
