"""Open files of a TahoeStorage."""

from __future__ import annotations

import inspect
import io
import os
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from django.core.files.base import File

from tahoestorage.tahoe.bodies import BLOCK

if TYPE_CHECKING:
    from tahoestorage.backends.tahoe import TahoeStorage
    from tahoestorage.tahoe.files import FileReader

MODES = ("rb", "r", "wb", "w", "xb", "x")
IN_MEMORY = 1 << 20


class TahoeFile(File):  # type: ignore[type-arg]
    """A file that is read from the grid as it is asked for, or written here first.

    What is written goes to the grid when the file is closed, and not otherwise: not
    by an exception in its ``with`` block, nor when it is dropped. Where ``close``
    fails the file stays open, to be closed again; the end of a ``with`` block gives
    it up. Text is UTF-8.
    """

    def __init__(self, storage: TahoeStorage, name: str, mode: str) -> None:
        super().__init__(None, name)
        self._storage = storage
        self._begin(mode)

    def _begin(self, mode: str) -> None:
        self._reader: FileReader | None = self._storage._prepare(str(self.name), mode)
        self._binary: IO[bytes]
        if self._reader is not None:
            self._binary = io.BufferedReader(self._reader, BLOCK)
        else:
            self._binary = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        file: Any = self._binary
        if "b" not in mode:
            file = io.TextIOWrapper(file, encoding="utf-8")
        self.file = file
        self.mode = mode

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the start; a file that is closed, or of another mode, begins anew.

        It stays the same object: Django's FieldFile keeps the one it has.
        """
        mode = mode or self.mode
        if self.closed or mode != self.mode:
            self.close()
            self._begin(mode)
        else:
            self.seek(0)
        return self

    @property
    def size(self) -> int:
        """Bytes in all, or written so far."""
        if self._reader is not None:
            return self._reader.size
        position = self.tell()
        self.flush()
        size = self._binary.seek(0, os.SEEK_END)
        self.seek(position)
        return size

    def written(self) -> Iterator[bytes]:
        """Yield what was written, from the start."""
        self._binary.seek(0)
        while chunk := self._binary.read(IN_MEMORY):
            yield chunk

    def close(self) -> None:
        """Publish what was written. Raises what saving does, and NameTaken in x."""
        if self.closed:
            return
        if self._reader is None and not _field_file_failed():
            self.flush()
            self._storage._publish(self)
        self.discard()

    def discard(self) -> None:
        """Close, and give up what was written."""
        if self.file is not None:
            self.file.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self.close()
        finally:
            self.discard()


def _field_file_failed() -> bool:
    """Whether an exception ends the ``with`` block of a FieldFile over the file.

    A FieldFile closes its file all the same, and does not tell it why; whoever
    called it knows.
    """
    frame = inspect.currentframe()
    for _ in ("TahoeFile.close", "FieldFile.close", "File.__exit__"):
        frame = frame and frame.f_back
    if frame is None or frame.f_code is not File.__exit__.__code__:
        return False
    return frame.f_locals["exc_type"] is not None
