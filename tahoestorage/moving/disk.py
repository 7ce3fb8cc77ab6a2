"""A folder (FileSystemStorage) as the source or target of a copy."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat as modes
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

from django.core.files.base import File

from tahoestorage.exceptions import NameTaken, ParentIsFile
from tahoestorage.moving.content import SourceChanged
from tahoestorage.moving.names import NameRules, digest
from tahoestorage.moving.store import Found, Listed, Stat, Store
from tahoestorage.moving.throttle import BLOCK

_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.storage_copy")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Disk(Store):
    """Files of Django's FileSystemStorage, which appear when they are whole.

    A file is written beside its place, as ``.<hash>.storage_copy``, and then linked or
    renamed. What a killed run leaves is overwritten by the next one, and never counts
    as a file.
    """

    rules = NameRules(
        tree=True, forbidden="\0", encode=os.fsencode, part_bytes=255, name_bytes=4000
    )
    packs = False
    is_near = True
    follows_links = True

    def overlaps(self, other: Store) -> bool:
        """Whether one location is the other, or in it."""
        if not isinstance(other, Disk):
            return False
        here, there = self._root, other._root
        return here.is_relative_to(there) or there.is_relative_to(here)

    @property
    def _root(self) -> Path:
        return Path(os.path.realpath(self.storage.location))

    def realm(self) -> Hashable:
        return "disk"

    def key(self, name: str) -> str:
        path: str = self.storage.path(name)
        return os.path.realpath(path)

    def base(self) -> str:
        return f"{str(self._root).rstrip('/')}/"

    def where(self) -> str:
        return str(self.storage.location)

    def place(self) -> Hashable:
        with contextlib.suppress(OSError):
            return _place(self.storage.location)
        return None

    def _list(self, directory: str) -> Listed:
        directories, files = self.storage.listdir(directory)
        base = f"{directory}/" if directory else ""

        def looked_at() -> Iterator[Found]:
            for name in sorted(files):
                if not _UNFINISHED.fullmatch(name):
                    stat = None
                    with contextlib.suppress(OSError):
                        stat = self.stat(f"{base}{name}")
                    yield Found(name, stat)

        place = _place(self.storage.path(directory))
        return Listed(sorted(directories), looked_at(), place)

    def stat(self, name: str) -> Stat | None:
        path = self.storage.path(name)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(path):
                raise OSError("it is a link that leads nowhere") from None
            return None
        if modes.S_ISDIR(status.st_mode):
            raise IsADirectoryError("a directory has the name")
        if not modes.S_ISREG(status.st_mode):
            raise OSError("it is a device, a pipe or a socket, and no file")
        # Whatever is done to a file changes the ctime, and nobody can set that.
        return Stat(status.st_size, status.st_mtime, status.st_ctime)

    def settled(self, name: str, stat: Stat) -> Callable[[], None]:
        def check() -> None:
            if self.stat(name) != stat:
                raise SourceChanged("it was changed while it was read")

        return check

    def write(self, name: str, content: File[Any], *, replace: bool) -> None:
        path = self.storage.path(name)
        self._make(os.path.dirname(path))
        unfinished = unfinished_path(path, name)
        descriptor = _take(unfinished, name)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                for chunk in content.chunks(BLOCK):
                    file.write(chunk)
            self._protect(descriptor)
            if replace:
                os.replace(unfinished, path)
            else:
                _publish(unfinished, path, name)
        finally:
            # As long as it is locked, it is ours.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
            os.close(descriptor)

    def leads_away(self, name: str) -> bool:
        directory = os.path.dirname(name)
        return os.path.realpath(self._root / directory) != str(self._root / directory)

    def _make(self, directory: str) -> None:
        missing = []
        while not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for each in reversed(missing):
            try:
                os.mkdir(each)
            except FileExistsError:
                if not os.path.isdir(each):
                    raise ParentIsFile(
                        f"{os.path.basename(each)} is a file, and not a directory"
                    ) from None
            else:
                if self.storage.directory_permissions_mode is not None:
                    os.chmod(each, self.storage.directory_permissions_mode)

    def _protect(self, descriptor: int) -> None:
        """Give a new file the mode and the group that Django gives it."""
        if self.storage.file_permissions_mode is not None:
            os.fchmod(descriptor, self.storage.file_permissions_mode)
        group = os.stat(self.storage.location).st_gid
        if os.fstat(descriptor).st_gid != group:
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, -1, group)


def unfinished_path(path: str, name: str) -> str:
    """Return the path at which a file is written until it is whole."""
    beside = f".{digest(name).hex()}.storage_copy"
    return os.path.join(os.path.dirname(path), beside)


def _place(path: str) -> Hashable:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _take(path: str, name: str) -> int:
    """Return the descriptor of an empty file, which is locked while it is open.

    Raises NameTaken where another process has the lock.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before us may have put it in its place meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(path), os.fstat(descriptor)):
                    os.ftruncate(descriptor, 0)
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise NameTaken(f"{name}: another process is bringing it now") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _publish(unfinished: str, path: str, name: str) -> None:
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise NameTaken(f"{name}: somebody else has the name by now") from None
    except OSError as error:
        # Some network disks have no links.
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise NameTaken(f"{name}: somebody else has the name by now") from None
        os.rename(unfinished, path)
