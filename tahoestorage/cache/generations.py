"""Counters of change, shared by the processes of a host through one mapped file."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
from hashlib import blake2b
from pathlib import Path

SLOTS = 1 << 14
HEADER_BYTES = 16
FILE_BYTES = HEADER_BYTES + SLOTS * 16


def _boot() -> bytes:
    """Return 8 bytes, never all zero, that are others after each start of the host."""
    try:
        identifier = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:  # Not Linux.
        identifier = b"unknown"
    return blake2b(identifier, digest_size=8).digest()


def _allocate(descriptor: int) -> None:
    """Make a new file as long as it must be, with all its blocks, and private."""
    size = os.fstat(descriptor).st_size
    if size < FILE_BYTES:
        os.fchmod(descriptor, 0o600)
        if os.pwrite(descriptor, bytes(FILE_BYTES - size), size) < FILE_BYTES - size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Generations:
    """Two numbers for each directory, read in a tenth of a microsecond.

    The *generation* changes whenever the directory may have changed. The *epoch*
    changes when what the disk holds of it must no longer be believed. Both are
    random and not counted up, so that a change needs no lock: whoever writes last,
    the number is another than before. Directories share slots (by hash), and then
    also each other's changes, which costs a request and breaks nothing.

    The file is allocated whole when it is made: a full disk can't stop a change
    from being noted. Its first 8 bytes are its own random name and part of each
    number, so that a file made anew vouches for nothing that is older. After the
    machine was started anew it gets another name too: what was written last to the
    database may have been lost with the power.
    """

    def __init__(self, path: Path | None) -> None:
        """Map the file at ``path``, made if need be; None counts in this process.

        Raises OSError where there is no making, locking or mapping it.
        """
        self.path = path
        self._inode: tuple[int, int] | None = None
        if path is None:
            buffer: mmap.mmap = mmap.mmap(-1, FILE_BYTES)
            buffer[:8] = secrets.token_bytes(8)
        else:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _allocate(descriptor)
                if os.pread(descriptor, 8, 8) != (boot := _boot()):
                    os.pwrite(descriptor, secrets.token_bytes(8) + boot, 0)
                # mmap keeps a duplicate of the descriptor, and with it the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                status = os.fstat(descriptor)
                self._inode = status.st_dev, status.st_ino
                buffer = mmap.mmap(descriptor, FILE_BYTES)
            finally:
                os.close(descriptor)
        self._numbers = memoryview(buffer).cast("Q")

    def is_current(self) -> bool:
        """Whether the mapped file is still the one that others find by its path."""
        if self.path is None:
            return True
        try:
            status = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    @staticmethod
    def slot(identity: bytes) -> int:
        """Return the slot of the directory with this ``identity``."""
        digest = blake2b(identity, digest_size=4, person=b"tahoe-slot").digest()
        return 2 + int.from_bytes(digest, "big") % SLOTS

    def generation(self, slot: int) -> int:
        """Return the directory's generation, of 64 bits."""
        return self._numbers[0] ^ self._numbers[slot]

    def epoch(self, slot: int) -> int:
        """Return the directory's epoch, of 64 bits."""
        return self._numbers[0] ^ self._numbers[slot + SLOTS]

    def snapshot(self) -> Snapshot:
        """Return all generations as they are now: a copy of 128 KiB."""
        return Snapshot(self._numbers[: 2 + SLOTS].tobytes())

    def change(self, slot: int) -> None:
        """Make the generation another one."""
        # One aligned store of 8 bytes: a reader sees the old number or the new.
        self._numbers[slot] = secrets.randbits(64)

    def disbelieve(self, slot: int) -> None:
        """Make the epoch another one, and the generation with it."""
        # Before it, so that no filling is kept under the new epoch; after it, so
        # that no page read under the old one is held under the new generation.
        self.change(slot)
        self._numbers[slot + SLOTS] = secrets.randbits(64)
        self.change(slot)

    def disbelieve_all(self) -> None:
        """Make all generations and epochs others at once, by another name."""
        self._numbers[0] = secrets.randbits(64)


class Snapshot:
    """The generations of all directories at one moment.

    Of all, because who asks for a directory by its path learns only from the answer
    which one that is.
    """

    __slots__ = ("_bytes", "_numbers")

    def __init__(self, numbers: bytes) -> None:
        self._bytes = numbers
        self._numbers = memoryview(numbers).cast("Q")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self._bytes == other._bytes

    __hash__ = None  # type: ignore[assignment]

    def generation(self, slot: int) -> int:
        """Return the directory's generation at that moment."""
        return self._numbers[0] ^ self._numbers[slot]
