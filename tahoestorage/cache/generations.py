"""Counters of change, shared by the processes of a host through one small file.

It is laid out in numbers of 8 bytes::

    name | last | a generation for each slot | an epoch for each slot | start

The file is read and written by ``pread`` and ``pwrite``. Mapped it would be read
faster, but whoever cuts a mapped file short ends every process that looks at it.

Version 0.1 of this package has the same file, without ``start`` (of the machine), which
it has in the place of ``last``. Finding another number there, it makes the name another
one when it opens the file: a name that this version would not give is how one is known
of, for it changes generations and epochs, but not ``last``. One that had the file open
before opens that which has taken its place before it changes anything.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sys
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from tahoestorage.cache.readonly import is_announced

SLOTS = 1 << 14
HEADER_BYTES = 16
_START = HEADER_BYTES + SLOTS * 16
FILE_BYTES = _START + 8
# For how long a file is waited for that somebody else is just making.
LOCK_SECONDS = 2.0
ATTEMPTS = 10
# Within this time everybody has noticed that the file is another one.
SETTLED_SECONDS = 0.6
# For how long processes of version 0.1 are reckoned with after one was noticed.
OLD_VERSION_SECONDS = 300.0


def _boot() -> bytes:
    """Return 8 bytes that are others after each start of the host."""
    try:
        identifier = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:  # Not Linux.
        identifier = b"unknown"
    return blake2b(identifier, digest_size=8).digest()


def _check(random: bytes) -> bytes:
    return blake2b(
        random, digest_size=4, key=_boot(), person=b"tahoe-counters"
    ).digest()


def _new_name() -> bytes:
    """Return a name that only this version gives, and only since the host's start."""
    random = secrets.token_bytes(4)
    return random + _check(random)


def _is_given(name: bytes) -> bool:
    return len(name) == 8 and name[4:] == _check(name[:4])


def _is_complete(descriptor: int) -> bool:
    return os.pread(descriptor, 16, _START) == _boot()


def _identity(path: Path) -> tuple[int, int, int]:
    status = os.stat(path, follow_symlinks=False)
    return status.st_dev, status.st_ino, status.st_size


def _is_at(path: Path, descriptor: int) -> bool:
    status = os.fstat(descriptor)
    try:
        return _identity(path)[:2] == (status.st_dev, status.st_ino)
    except OSError:
        return False


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[bool]:
    """Wait until nobody else makes the file; yield False if that takes too long.

    Whoever holds the lock may be stopped, and must stop nobody else.
    """
    until = time.monotonic() + LOCK_SECONDS
    locked = False
    while not locked:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            if time.monotonic() > until:
                break
            time.sleep(0.005)
    try:
        yield locked
    finally:
        if locked:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    if os.pwrite(descriptor, content, offset) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fill(descriptor: int) -> None:
    """Make an empty file complete, with all its blocks; what says so comes last."""
    os.fchmod(descriptor, 0o600)
    # Random, so that no number is one that was in another file.
    numbers = secrets.token_bytes(8 + SLOTS * 16)
    try:
        _write(descriptor, _new_name() + numbers, 0)
        _write(descriptor, _boot(), _START)
    except OSError:
        os.ftruncate(descriptor, 0)
        raise


def _replacement(path: Path) -> int:
    """Put a new file in the place of one, and return its descriptor. Raises OSError.

    Until everybody has noticed it is locked, and empty: who wants to tell a change
    waits, so that nobody who has not looked yet misses one.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, _FLAGS | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(new, path)
        time.sleep(SETTLED_SECONDS)
        _fill(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def _open(path: Path, *, anew: bool) -> int:
    """Return a descriptor of the file, made or replaced where it is not complete.

    Without any lock where it is. With ``anew`` one that version 0.1 has opened is
    replaced. Raises OSError.
    """
    for _ in range(ATTEMPTS):
        descriptor = os.open(path, _FLAGS, 0o600)
        if _is_usable(descriptor, anew):
            return descriptor
        try:
            with _locked(descriptor) as locked:
                if not _is_at(path, descriptor):
                    pass
                elif _is_usable(descriptor, anew):
                    return os.dup(descriptor)
                elif locked and os.fstat(descriptor).st_size == 0:
                    _fill(descriptor)
                    return os.dup(descriptor)
                else:
                    # Cut short, of before the host's start, or of another version.
                    made = _replacement(path)
                    if _is_at(path, made):
                        return made
                    os.close(made)
        finally:
            os.close(descriptor)
    raise OSError(errno.EAGAIN, "others make it anew all the time")


def _is_usable(descriptor: int, anew: bool) -> bool:
    return _is_complete(descriptor) and not (
        anew and not _is_given(os.pread(descriptor, 8, 0))
    )


class Generations:
    """Two numbers for each directory, and one of all of them together.

    The *generation* changes whenever the directory may have changed. The *epoch*
    changes when what the disk holds of it must no longer be believed. Both are
    random and not counted up, so that a change needs no lock: whoever writes last,
    the number is another than before. Directories share slots (by hash), and then
    also each other's changes, which costs a request and breaks nothing.

    The *header* is 16 bytes that change after anything did: as long as it is the same,
    no other number needs to be read. That holds only while it ``vouches`` for them.

    The file is allocated whole when it is made: a full disk can't stop a change from
    being noted. Its first 8 bytes are its name and part of each number, so that a file
    made anew vouches for nothing that is older. After the machine was started anew it
    is made anew too: what was written last to the database may have been lost with the
    power. What can't be read is another number each time.
    """

    def __init__(self, path: Path | None, *, anew: bool = False) -> None:
        """Open the file at ``path``, made if need be; None counts in this process.

        With ``anew`` it is replaced if version 0.1 has opened it. Raises OSError where
        there is no making or opening it.
        """
        self.path = path
        self._given = b""
        self._strange = b""
        self._strange_since = 0.0
        self._descriptor = -1
        if path is None:
            self._buffer = bytearray(_new_name() + bytes(FILE_BYTES - 8))
        else:
            self._descriptor = _open(path, anew=anew)
            status = os.fstat(self._descriptor)
            self._file = status.st_dev, status.st_ino

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def is_current(self) -> bool:
        """Whether the file is still whole, and the one that others find by its path."""
        if self.path is None:
            return True
        try:
            *file, size = _identity(self.path)
        except OSError:
            return False
        return (*file,) == self._file and size >= FILE_BYTES

    def is_doubtful(self) -> bool:
        """Whether somebody may change a directory and can't say so here."""
        return self.path is not None and is_announced(self._descriptor, self.path)

    def is_outdated(self) -> bool:
        """Whether version 0.1 has opened the file, long enough ago to replace it."""
        return (
            self.path is not None
            and not self.vouches(self.header())
            and time.monotonic() - self._strange_since >= OLD_VERSION_SECONDS
        )

    def _read(self, length: int, offset: int) -> bytes:
        if self._descriptor < 0:
            return bytes(self._buffer[offset : offset + length])
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError:
            return b""

    def _write(self, content: bytes, offset: int) -> None:
        if self._descriptor < 0:
            self._buffer[offset : offset + len(content)] = content
        else:
            _write(self._descriptor, content, offset)

    @staticmethod
    def slot(identity: bytes) -> int:
        """Return the slot of the directory with this ``identity``."""
        digest = blake2b(identity, digest_size=4, person=b"tahoe-slot").digest()
        return 2 + int.from_bytes(digest, "big") % SLOTS

    def header(self) -> bytes:
        """Return the header, by one small read; what it is not must not be believed."""
        return self._read(HEADER_BYTES, 0)

    def vouches(self, header: bytes) -> bool:
        """Whether whoever changes a number of the file changes its header after it."""
        if len(header) < HEADER_BYTES:
            return False
        name = header[:8]
        if name == self._given or name == self._strange:
            return name == self._given
        if _is_given(name):
            self._given = name
            return True
        self._strange, self._strange_since = name, time.monotonic()
        return False

    def generation(self, slot: int) -> int:
        """Return the directory's generation, of 64 bits."""
        return _number(self._read(8, 0), self._read(8, 8 * slot))

    def epoch(self, slot: int) -> int:
        """Return the directory's epoch, of 64 bits."""
        return _number(self._read(8, 0), self._read(8, 8 * (slot + SLOTS)))

    def snapshot(self) -> Snapshot:
        """Return all generations as they are now: a copy of 128 KiB."""
        return Snapshot(self._read(HEADER_BYTES + 8 * SLOTS, 0))

    def change(self, slot: int) -> None:
        """Make the generation another one. Raises OSError."""
        self._set(slot)
        self._tell()

    def _set(self, slot: int) -> None:
        # At once, within a page of memory: a reader sees the old number or the new,
        # and of a process that is killed here it is one of the two.
        self._write(secrets.token_bytes(8), 8 * slot)

    def _tell(self) -> None:
        """Make the header another one: after the number that it vouches for."""
        self._write(secrets.token_bytes(8), 8)

    def invalidate(self, slot: int) -> None:
        """Make the epoch another one, and the generation with it. Raises OSError."""
        # Before it, so that no filling is kept under the new epoch; after it, so
        # that no page read under the old one is held under the new generation.
        self.change(slot)
        self._set(slot + SLOTS)
        self.change(slot)

    def invalidate_all(self) -> None:
        """Make all generations and epochs others. Raises OSError.

        Not by another name: that would hide the one that version 0.1 may have given.
        """
        self._write(secrets.token_bytes(SLOTS * 16), HEADER_BYTES)
        self._tell()
        self._write(secrets.token_bytes(SLOTS * 8), HEADER_BYTES)
        self._tell()


class Snapshot:
    """The generations of all directories at one moment.

    Of all, because who asks for a directory by its path learns only from the response
    which one that is.
    """

    __slots__ = ("_numbers",)

    def __init__(self, numbers: bytes) -> None:
        self._numbers = numbers

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Snapshot)
            and self._numbers == other._numbers
            and len(self._numbers) == HEADER_BYTES + 8 * SLOTS
        )

    __hash__ = None  # type: ignore[assignment]

    def generation(self, slot: int) -> int:
        """Return the directory's generation at that moment."""
        return _number(self._numbers[:8], self._numbers[8 * slot : 8 * slot + 8])


def _number(name: bytes, number: bytes) -> int:
    if len(name) + len(number) < 16:
        return secrets.randbits(64)
    return int.from_bytes(name, sys.byteorder) ^ int.from_bytes(number, sys.byteorder)
