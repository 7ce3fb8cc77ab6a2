"""Everything that this package raises of its own.

Each leaf is also the builtin that callers already catch::

    TahoeStorageError
    ├── InvalidCap             ValueError          not a cap, or not of the kind needed
    ├── FileMissing            FileNotFoundError   no such file
    ├── NameTaken              FileExistsError     the name is somebody else's
    ├── NameIsDirectory        IsADirectoryError   a directory where a file was meant
    ├── ParentIsFile           NotADirectoryError  a file where a directory was meant
    ├── ReadOnly               PermissionError     a write through a read-only cap
    ├── TimeUnknown            NotImplementedError nobody can tell when it was changed
    └── StoreError             OSError             the store did not do it
        ├── StoreUnreachable   ConnectionError     nothing responds there
        ├── StoreForbids       PermissionError     the credentials may not do this
        ├── NotConditional     OSError             a save could overwrite a file
        ├── UploadEnded        OSError             an upload in parts is no more
        ├── NotAllSaved        OSError             some of many files were not saved
        ├── NotAllDeleted      OSError             some of many files were not deleted
        ├── DamagedDownload    OSError             a body that is not the file
        └── GatewayError       OSError             a Tahoe-LAFS gateway did not do it
            ├── GatewayUnreachable ConnectionError     nothing responds there
            ├── GatewayTimeout     TimeoutError        it did not respond in time
            ├── NotEnoughServers   OSError             too few servers to write to
            ├── NotEnoughShares    OSError             too few shares reachable now
            ├── WriteCollision     OSError             another gateway wrote meanwhile
            └── UnexpectedResponse OSError             what no gateway should say

Messages name files, and say what to do; they never hold a cap, nor a character that
a terminal would not print but obey.
"""

from __future__ import annotations

import warnings


def printable(text: str) -> str:
    """Return a text as Python would write it between quotes, where it must.

    Names come from anybody: line breaks in them would make lines of a log up, escape
    sequences reach the terminal, and marks of direction turn what is read around.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


class Lines(str):
    """A text of several lines, each of which is printable."""

    __slots__ = ()


class TahoeStorageError(Exception):
    """Base of every error of this package."""

    def __init__(self, *args: object) -> None:
        super().__init__(*map(_printable, args))


def _printable(argument: object) -> object:
    if isinstance(argument, str) and not isinstance(argument, Lines):
        return printable(argument)
    return argument


class InvalidCap(TahoeStorageError, ValueError):
    """The text is not a cap, or the cap is not of the kind that is needed."""


class FileMissing(TahoeStorageError, FileNotFoundError):
    """The store was asked, and has no such file."""


class NameTaken(TahoeStorageError, FileExistsError):
    """The name is taken, and nothing was overwritten."""


class NameIsDirectory(TahoeStorageError, IsADirectoryError):
    """A directory stands where a file was meant."""


class ParentIsFile(TahoeStorageError, NotADirectoryError):
    """A file stands where a directory was meant."""


class ReadOnly(TahoeStorageError, PermissionError):
    """The directory is reached by a read-only cap, or is immutable."""


class TimeUnknown(TahoeStorageError, NotImplementedError):
    """The store does not know this time of this file."""


class StoreError(TahoeStorageError, OSError):
    """The store could not do what it was asked."""


class StoreUnreachable(StoreError, ConnectionError):
    """Nothing responds at the store's address, it hung up, or it is too slow."""


class StoreForbids(StoreError, PermissionError):
    """The credentials are wrong, have expired, or may not do this."""


class NotConditional(StoreError):
    """The store has no conditional writes: a save could overwrite what is there."""


class UploadEnded(StoreError):
    """An upload in parts was aborted or completed, and takes no more of them."""


class NotAllSaved(StoreError):
    """Some of the files that ``save_many`` was given were not saved.

    ``errors`` has the name that was asked for and what went wrong, by the position of
    the file among those that were given, from 0. ``saved`` has the names of files that
    were saved but not yielded, for others before them were not, likewise.
    """

    def __init__(
        self,
        message: str,
        errors: dict[int, tuple[str, Exception]] | None = None,
        saved: dict[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.errors = errors or {}
        self.saved = saved or {}

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (str(self), self.errors, self.saved)


class NotAllDeleted(StoreError):
    """Some of the files that ``delete_many`` was given were not deleted.

    ``errors`` has the name and what went wrong, by the position of the file among those
    that were given, from 0. ``deleted`` has the names of files that are gone but were
    not yielded, for others before them are not, likewise.
    """

    def __init__(
        self,
        message: str,
        errors: dict[int, tuple[str, Exception]] | None = None,
        deleted: dict[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.errors = errors or {}
        self.deleted = deleted or {}

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (str(self), self.errors, self.deleted)


class DamagedDownload(StoreError):
    """A download is not the file: too short, too long, or of another by now."""


class GatewayError(StoreError):
    """The gateway could not do what it was asked."""


class GatewayUnreachable(GatewayError, StoreUnreachable):
    """Nothing responds at the gateway's address, or it hung up.

    Also where a proxy before it says so (502, 503). What was asked may be done all the
    same, if the gateway went away on the way.
    """


class GatewayTimeout(GatewayError, TimeoutError):
    """The gateway did not respond in time. What was asked may be done all the same."""


class NotEnoughServers(GatewayError):
    """The gateway is connected to fewer storage servers than a write needs.

    Nothing was changed. Of an upload: fewer than ``shares.happy`` take its shares. Of
    any change of a directory: so many are away, or full, that what is changed without
    them could be lost when they come back.
    """


class NotEnoughShares(GatewayError):
    """Too few shares of the file can be reached now. It is not known to be gone."""


class WriteCollision(GatewayError):
    """Two gateways wrote one directory at the same time."""


class UnexpectedResponse(GatewayError):
    """The gateway's response makes no sense: a redirect, a foreign page, no JSON."""


def __getattr__(name: str) -> type[TahoeStorageError]:
    """Return what was called otherwise until 0.2, with a DeprecationWarning."""
    if name != "UnexpectedAnswer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "tahoestorage.exceptions.UnexpectedAnswer is called UnexpectedResponse now",
        DeprecationWarning,
        stacklevel=2,
    )
    return UnexpectedResponse
