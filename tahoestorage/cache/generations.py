"""Counters of change that the processes of a host share in one small file.

By them each process learns what another has changed. The file is a row of numbers of 8
bytes::

    name | last | a generation for each slot | an epoch for each slot | start

``name`` is the file's own. ``last`` changes after every change. ``start`` stands for
the last start of the machine. ``Generations`` says what generations and epochs are.

The file is read by ``pread`` and written by ``pwrite``. A mapped file would be quicker
to read, but one that is cut short ends every process that looks at it.

**Beside version 0.1 of this package**, which has the same file: it does not know
``last``, and has ``start`` in its place. Its changes do not change ``last``, so this
version must know that it is at work. The name tells: version 0.1 finds a wrong
``start`` when it opens the file, and gives it another name, one that this version would
not give (``_is_given``). A process of 0.1 that had the file open before it was replaced
opens the new one before it changes anything.
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
from typing import ClassVar, Literal

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


def _identity(path: Path | str) -> tuple[int, int, int]:
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
    """Hold the lock on the file for a block; yield False where others keep it too long.

    Too long is LOCK_SECONDS. A process that holds it may be stopped (SIGSTOP), and must
    stop nobody else.
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
    """Make an empty file complete. Raises OSError, and leaves it empty, on a full disk.

    ``start`` is written last: it says that all before it is there.
    """
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
    """Put a new file in the place of one; return its descriptor. Raises OSError.

    For SETTLED_SECONDS the new file stays locked, and empty. Whoever wants to change a
    number waits so long, and by then everybody has noticed that the file is another.
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
    """Return a descriptor of the file; it is made or replaced if it is not complete.

    With ``anew`` one that version 0.1 has opened is replaced, too. A complete file
    needs no lock. Raises OSError.
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
    """Numbers that change when directories do: by them a cache knows what is stale.

    There are two for each directory, of 64 bits each:

    - the *generation* changes whenever the directory may have changed;
    - the *epoch* changes when nothing that the disk holds of it may be believed.

    They are random, and not counted up, so a change needs no lock: whoever writes last,
    the number is another one than before. Directories share slots, by a hash, and so
    each other's changes. That costs a request now and then, and breaks nothing.

    The *header* is 16 bytes, ``name`` and ``last``, which change after anything did. As
    long as it is the same, no other number needs to be read, if it ``vouches``.

    **A full disk** stops no change from being noted: the file is allocated whole when
    it is made. **A file that is made anew** makes all that was kept stale, for its name
    is part of each number. **After a start of the machine** the file is made anew,
    since the database may have lost its last writes with the power. **What cannot be
    read** is another number each time.
    """

    def __init__(self, path: Path | None, *, anew: bool = False) -> None:
        """Open the file at ``path``, or make it; with None count in this process only.

        With ``anew`` a file that version 0.1 has opened is replaced. Raises OSError
        where the file can be neither opened nor made.
        """
        self.path = path
        # As text: it is looked at with each change.
        self._place = str(path)
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
        """Whether the file is still whole, and the one that is at its path."""
        if self.path is None:
            return True
        try:
            device, inode, size = _identity(self._place)
        except OSError:
            return False
        return (device, inode) == self._file and size >= FILE_BYTES

    def is_doubtful(self) -> bool:
        """Whether somebody may change a directory who can't write to this file."""
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
        """Return the header, by one small read; fewer bytes where it can't be read."""
        return self._read(HEADER_BYTES, 0)

    def vouches(self, header: bytes) -> bool:
        """Whether every change of a number is followed by one of this header.

        Not where version 0.1 is at work: it does not change the header.
        """
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
        """Change a directory's generation. Raises OSError."""
        self._set(slot)
        self._tell()

    def _set(self, slot: int) -> None:
        # At once, within a page of memory: a reader sees the old number or the new,
        # and of a process that is killed here it is one of the two.
        self._write(os.urandom(8), 8 * slot)

    def _tell(self) -> None:
        """Change the header. To be called after the number was changed."""
        self._write(os.urandom(8), 8)

    def invalidate(self, slot: int) -> None:
        """Change a directory's epoch, and its generation. Raises OSError."""
        # Before it, so that no filling is kept under the new epoch; after it, so
        # that no page read under the old one is held under the new generation.
        self.change(slot)
        self._set(slot + SLOTS)
        self.change(slot)

    def invalidate_all(self) -> None:
        """Change all generations and epochs. Raises OSError.

        The name stays: it tells whether version 0.1 is at work.
        """
        self._write(secrets.token_bytes(SLOTS * 16), HEADER_BYTES)
        self._tell()
        self._write(secrets.token_bytes(SLOTS * 8), HEADER_BYTES)
        self._tell()


class Snapshot:
    """The generations of all directories at one moment, by 128 KiB.

    All of them: whoever asks for a directory by its path learns only from the response
    which directory that is.
    """

    __slots__ = ("_numbers",)
    of_redis: ClassVar[Literal[False]] = False
    """Whether the counters are those of a Redis, and not of this host."""

    def __init__(self, numbers: bytes) -> None:
        self._numbers = numbers

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Snapshot)
            and self._numbers == other._numbers
            and len(self._numbers) == HEADER_BYTES + 8 * SLOTS
        )

    # As Python does it where __slots__ and __eq__ are: mypy expects a function.
    __hash__ = None  # type: ignore[assignment]

    def generation(self, slot: int) -> int:
        """Return the directory's generation at that moment."""
        return _number(self._numbers[:8], self._numbers[8 * slot : 8 * slot + 8])


def _number(name: bytes, number: bytes) -> int:
    if len(name) + len(number) < 16:
        return secrets.randbits(64)
    return int.from_bytes(name, sys.byteorder) ^ int.from_bytes(number, sys.byteorder)
