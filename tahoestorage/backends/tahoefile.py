"""Open files of a TahoeStorage."""

from __future__ import annotations

import inspect
import io
import os
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.files.base import File

from tahoestorage.tahoe.bodies import BLOCK

if TYPE_CHECKING:
    from tahoestorage.backends.tahoe import TahoeStorage
    from tahoestorage.tahoe.files import FileReader

MODES = ("rb", "r", "wb", "w", "xb", "x")
IN_MEMORY = 1 << 20


class TahoeFile(File):  # type: ignore[type-arg]
    """A file that is read from the grid; text is UTF-8."""

    def __init__(self, storage: TahoeStorage, name: str, mode: str) -> None:
        self._storage = storage
        self._reader: FileReader = storage._reader(name)
        binary = io.BufferedReader(self._reader, BLOCK)
        file: Any = binary
        if "b" not in mode:
            file = io.TextIOWrapper(binary, encoding="utf-8")
        super().__init__(file, name)
        self.mode = mode

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._reader.size

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> TahoeFile:
        """Go back to the start; a closed file is opened again."""
        if self.closed or mode not in (None, self.mode):
            self.close()
            opened = self._storage.open(self.name or "", mode or self.mode)
            return cast(TahoeFile, opened)
        self.seek(0)
        return self


class NewFile(File):  # type: ignore[type-arg]
    """A file that is written here first, and goes to the grid when it is closed.

    Nothing is published before that: not by an exception in its ``with`` block, nor
    when it is dropped. Where closing fails the file stays open, to be closed again.
    """

    def __init__(self, storage: TahoeStorage, name: str, mode: str) -> None:
        self._storage = storage
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        file: Any = self._spool
        if "b" not in mode:
            file = io.TextIOWrapper(self._spool, encoding="utf-8")
        super().__init__(file, name)
        self.mode = mode

    @property
    def size(self) -> int:
        """Bytes written so far."""
        position = self.tell()
        self.flush()
        size = self._spool.seek(0, os.SEEK_END)
        self.seek(position)
        return size

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield what was written, from the start."""
        self._spool.seek(0)
        while chunk := self._spool.read(chunk_size or BLOCK):
            yield chunk

    def close(self) -> None:
        """Publish what was written. Raises what saving does, and NameTaken in x."""
        if self.closed:
            return
        if _field_file_failed():
            self.discard()
            return
        self.flush()
        self._storage._publish(self)
        self.discard()

    def discard(self) -> None:
        """Give up what was written."""
        if self.file is not None:
            self.file.close()
        self._spool.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            self.discard()
        else:
            self.close()


def _field_file_failed() -> bool:
    """Whether an exception ends the ``with`` block of a FieldFile over the file.

    A FieldFile closes its file all the same, and does not tell it why; whoever
    called it knows.
    """
    frame = inspect.currentframe()
    for _ in ("NewFile.close", "FieldFile.close", "File.__exit__"):
        frame = frame and frame.f_back
    if frame is None or frame.f_code is not File.__exit__.__code__:
        return False
    return frame.f_locals["exc_type"] is not None
