"""The copying of one file from one store to another."""

from __future__ import annotations

import contextlib
import enum
import time
from dataclasses import dataclass
from typing import Any

from django.core.files.base import File

from tahoestorage.exceptions import DamagedDownload, NameTaken
from tahoestorage.moving.content import (
    BLAKE2,
    HASHERS,
    Content,
    SourceChanged,
    hasher,
)
from tahoestorage.moving.store import Found, Stat, Store
from tahoestorage.moving.throttle import Throttle

ATTEMPTS = 3
SETTLED_SECONDS = 1.0


class Outcome(enum.Enum):
    """What became of a file."""

    COPIED = "copied"
    SKIPPED = "skipped"
    KEPT = "kept"
    GONE = "gone"


class Damaged(OSError):
    """What is read back from the target is not what was written."""


@dataclass(frozen=True)
class Copier:
    """Copies files from ``source`` to ``target``, where they are not there yet.

    **Unchanged** is a file whose size is the same in both, and which was written in the
    target no earlier than it last changed in the source. What a store does not know of
    these is not compared. Where the target's file is older it still is unchanged if the
    contents have one hash: one that both stores have, or one that the other store has
    of a file that is read without a request. With ``keep_newer`` one file may be read
    from afar for it. Mutable files of a grid change without a trace, so their contents
    are compared. With ``verify`` all contents are compared, and no times.

    **What differs** is replaced; with ``keep_newer`` not if the target's file is newer,
    or may be. It is looked at once more just before it is replaced.

    **No change is missed** that comes while a file is copied. A file is read when its
    last change is a second old, so that no clock of a store gives the next change the
    same time; and it is looked at again after it was stored.
    """

    source: Store
    target: Store
    throttle: Throttle
    verify: bool = False
    keep_newer: bool = False
    dry_run: bool = False

    def copy(self, found: Found) -> tuple[Outcome, int]:
        """Copy a file if need be; return what became of it, and its size in bytes.

        Raises Stopped once the throttle is stopped, NameTaken where somebody else has
        saved the name, SourceChanged where it changed at each attempt, Damaged where
        ``verify`` finds another content, and what the storages raise.
        """
        name = found.name
        stat = found.stat or self.source.stat(name)
        if stat is None:
            return Outcome.GONE, 0
        there = self.target.lookup(name)
        try:
            if there is not None:
                if self._is_same(name, stat, there):
                    return Outcome.SKIPPED, stat.size or 0
                if self.keep_newer and not _is_older(there, stat):
                    return Outcome.KEPT, 0
            if self.dry_run:
                return Outcome.COPIED, stat.size or 0
            return self._replace(name, stat, replace=there is not None)
        except FileNotFoundError:
            if self.source.stat(name) is None:
                return Outcome.GONE, 0
            raise

    def _is_same(self, name: str, stat: Stat, there: Stat) -> bool:
        sized = stat.size is not None and there.size is not None
        differs = sized and stat.size != there.size
        if self.verify and (not differs or self.source.packs or self.target.packs):
            return self._digest(self.source, name) == self._digest(self.target, name)
        if differs:
            return False
        if stat.changes_unseen or there.changes_unseen:
            return self._peek(self.source, name) == self._peek(self.target, name)
        if _is_older(there, stat):
            return sized and self._has_equal_content(name, stat, there)
        return sized or (there.modified is not None and stat.changed is not None)

    def _has_equal_content(self, name: str, stat: Stat, there: Stat) -> bool:
        """Whether hashes show one content; False also where they cost too much."""
        source, target = self.source, self.target
        ours, theirs = source.digests(stat), target.digests(there)
        shared = ours.keys() & theirs.keys()
        if any(ours[each] == theirs[each] for each in shared):
            return True
        if not shared.isdisjoint(HASHERS):
            return False
        for store, digests in sorted(
            ((source, theirs), (target, ours)), key=lambda each: not each[0].is_near
        ):
            for algorithm in digests.keys() & HASHERS:
                if store.is_near or self.keep_newer:
                    return self._peek(store, name, algorithm) == digests[algorithm]
        far = (not source.is_near) + (not target.is_near)
        if far > self.keep_newer:
            return False
        return self._peek(source, name) == self._peek(target, name)

    def _replace(self, name: str, stat: Stat, *, replace: bool) -> tuple[Outcome, int]:
        failure: OSError | None = None
        sent: bytes | None = None
        for _ in range(ATTEMPTS):
            self._let_settle(stat)
            if replace and self.keep_newer and self._has_newer(name, stat, sent):
                return Outcome.KEPT, 0
            try:
                content = self._send(name, stat, replace=replace)
            except (SourceChanged, DamagedDownload) as error:
                failure = error
            except NameTaken:
                # Another run of this may have brought the same file meanwhile.
                if replace or not self._is_there(name):
                    raise
                return Outcome.SKIPPED, stat.size or 0
            else:
                failure, replace, sent = None, True, content.digest
            now = self.source.stat(name)
            if failure is None and (now is None or now.is_of_the_same(stat)):
                if self.verify and self._digest(self.target, name) != content.digest:
                    raise Damaged("what TO gives back is not what it was given")
                return Outcome.COPIED, content.count
            if now is None:
                return Outcome.GONE, 0
            stat = now
        raise failure or SourceChanged("it was changed each time that it was copied")

    def _has_newer(self, name: str, stat: Stat, sent: bytes | None) -> bool:
        """Whether the target's file is no longer the one to be replaced.

        That is an older one than the source's, or the one that was ``sent`` before.
        """
        there = self.target.look_again(name)
        if there is None:
            return False
        if sent is not None:
            # It is newer than a change that came while it was sent.
            return self._digest(self.target, name) != sent
        return not _is_older(there, stat)

    def _send(self, name: str, stat: Stat, *, replace: bool) -> Content:
        check = self.source.settled(name, stat)
        size = None if self.source.packs else stat.size
        content = Content(self.source.open(name), self.throttle, size, check)
        with contextlib.closing(content):
            whole: Any = content
            self.target.write(name, File(whole, name), replace=replace)
        return content

    def _let_settle(self, stat: Stat) -> None:
        if stat.changed is not None:
            wait = stat.changed + SETTLED_SECONDS - time.time()
            # What is to change in the future has another clock than we have.
            self.throttle.wait(wait if wait <= SETTLED_SECONDS else 0)

    def _is_there(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self._digest(self.source, name) == self._digest(self.target, name)
        return False

    def _digest(self, store: Store, name: str) -> bytes:
        return self._read(Content(store.open(name), self.throttle))

    def _peek(self, store: Store, name: str, algorithm: str = BLAKE2) -> bytes:
        """Return the digest of a content, read to compare it, and not as progress."""
        file, by = store.open(name), hasher(algorithm)
        return self._read(Content(file, self.throttle, hashed_by=by, counted=False))

    def _read(self, content: Content) -> bytes:
        with contextlib.closing(content):
            while content.read(self.throttle.block):
                pass
        return content.digest


def _is_older(there: Stat, stat: Stat) -> bool:
    """Whether the target's file is certainly older than the source's."""
    if there.modified is None or stat.changed is None:
        return False
    return there.modified < stat.changed
