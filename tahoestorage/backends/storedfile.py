"""Open files of a storage: read as they are asked for, or published when closed."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, Protocol, Self, cast

from django.core.files.base import File

IN_MEMORY = 1 << 20
BLOCK = 1 << 16

logger = logging.getLogger("tahoestorage")


class Reader(Protocol):
    """A file that is read: an io.RawIOBase that knows the size of the whole."""

    until: int | None
    """Where the caller will stop, if it says so."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    @property
    def reference(self) -> str | None:
        """What is read, as entries name it; None where that is not known yet."""


class Publisher(Protocol):
    """What a storage gives the files that it opens."""

    def prepare_file(self, name: str, mode: str) -> Reader | None:
        """Return what reads a file; None where it may be opened to be written.

        ``mode`` is as ``mode_of`` returns it. Raises what opening a file raises.
        """

    def publish_file(self, file: StoredFile) -> None:
        """Store what was ``written``; a file in mode x must not overwrite any."""


def mode_of(mode: str) -> str:
    """Return a mode in one form: "r", "w" or "x", then "b" or nothing, then "+" or not.

    Its letters come in any order, as the builtin ``open`` takes them. Raises ValueError
    for what is no mode, and for "a" and "r+".
    """
    letters = set(mode)
    action = letters & set("rwxa")
    if (
        len(letters) != len(mode)
        or len(action) != 1
        or not letters <= set("rwxabt+")
        or letters >= {"b", "t"}
    ):
        raise ValueError(
            f"mode {mode!r} is none: it has one of r, w and x in it, may have b or t, "
            "and w and x may have +"
        )
    if "a" in letters or letters >= {"r", "+"}:
        raise ValueError(
            f"mode {mode!r} would change a file where it is, and files in a store are "
            "only replaced as a whole: read it, and write all of it with w"
        )
    binary, both = "b" if "b" in letters else "", "+" if "+" in letters else ""
    return f"{action.pop()}{binary}{both}"


# Django's class takes no type argument at run time.
class StoredFile(File):  # type: ignore[type-arg]
    """An open file: read from the store as it is asked for, or written here first.

    What was written is stored when the file is closed, and only then. It is given up
    where the file is dropped, and where it is closed because of an error: while an
    exception is being handled that was not when the file was opened, as at the end of
    a ``with`` block that raised (FieldFile's too), in ``finally`` and in ``except``. A
    ``close`` that gives something up logs a warning that names the file, and raises
    that exception again, so that nobody takes the file for stored.

    Where storing fails ``close`` raises and the file stays open, to be closed again;
    the end of a ``with`` block gives it up. Until then it can be read back, and sought.
    Text is UTF-8. ``mode`` is in the form of ``mode_of``.
    """

    def __init__(self, storage: Publisher, name: str, mode: str) -> None:
        super().__init__(None, name)
        self._storage = storage
        # Exceptions that are no reason to give up what was written: those that were
        # being handled when the file was opened, and those that ``close`` raised.
        self._others: dict[int, BaseException] = {}
        self._begin(mode)

    def _begin(self, mode: str) -> None:
        mode = mode_of(mode)
        self._reader = self._storage.prepare_file(str(self.name), mode)
        self._binary: IO[bytes]
        if self._reader is not None:
            self._binary = io.BufferedReader(cast(io.RawIOBase, self._reader), BLOCK)
        else:
            # It is closed with this file, not at the end of a block.
            self._binary = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        file: Any = self._binary
        if "b" not in mode:
            file = io.TextIOWrapper(file, encoding="utf-8")
        self.file = file
        self.mode = mode
        self._others = _handled()

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the start; a file that is closed, or of another mode, begins anew.

        It stays the same object: Django's FieldFile keeps the one it has.
        """
        mode = mode_of(mode or self.mode)
        if self.closed or mode != self.mode:
            self.close()
            self._begin(mode)
        else:
            self.seek(0)
            self._others = _handled()
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

    @property
    def reference(self) -> str | None:
        """What is read, as its entry names it; None where that is not known yet."""
        return None if self._reader is None else self._reader.reference

    @property
    def is_packed(self) -> bool:
        """Whether ``size`` is that of another form of it, the one that is stored."""
        return bool(getattr(self._reader, "is_packed", False))

    def seek_part(self, first: int, end: int) -> None:
        """Go to ``first``, to be read to ``end``: no more is asked of the store."""
        if self._reader is not None:
            self._reader.until = end
        self.seek(first)

    def written(self) -> Iterator[bytes]:
        """Yield what was written, from the start."""
        self._binary.seek(0)
        while chunk := self._binary.read(IN_MEMORY):
            yield chunk

    def content(self) -> File[bytes]:
        """Return what was written, to be read from the start; not to be closed."""
        self._binary.seek(0)
        return File(self._binary, self.name)

    def close(self) -> None:
        """Store what was written, or give it up where an error is being handled.

        Raises what saving raises, and NameTaken in mode x.
        """
        if self.closed:
            return
        error = sys.exception()
        if error is None or id(error) in self._others:
            self._publish()
        elif self._reader is None:
            why = (
                f"{self.name}: what was written is given up, since the file was closed "
                f"while {type(error).__name__} was being handled; close it after that "
                "to store it"
            )
            logger.warning("%s", why)
            self.discard()
            # At the end of a block it is raised in any case. Who closes the file in a
            # handler must not take it for stored.
            error.add_note(why)
            raise error
        self.discard()

    def _publish(self) -> None:
        if self._reader is not None or self.closed:
            return
        try:
            self.flush()
            self._storage.publish_file(self)
        except BaseException as error:
            # Whoever handles it may close the file again.
            self._others[id(error)] = error
            raise

    def discard(self) -> None:
        """Close, and give up what was written."""
        self._others = {}
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
                self._publish()
        finally:
            self.discard()


def _handled() -> dict[int, BaseException]:
    """Return the exceptions that are being handled here and now, by their ids.

    A handler within a handler handles one whose context is the outer one's.
    """
    found: dict[int, BaseException] = {}
    error = sys.exception()
    while error is not None and id(error) not in found:
        found[id(error)] = error
        error = error.__context__
    return found
