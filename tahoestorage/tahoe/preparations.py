"""Directories that are missing on the way to a file, made while it is uploaded.

All but the innermost one are made at the same time, for their keys are made here (see
``directorykeys``). Nothing links to them until the file is there: if the upload fails
they are never seen, and the grid forgets them with their leases.

Nothing is prepared while a server is away: for a directory made then, more servers must
be up at later changes. That is stored with the root, and not for an upload that fails.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from tahoestorage import forks
from tahoestorage.exceptions import (
    GatewayTimeout,
    NotEnoughServers,
    StoreError,
    TahoeStorageError,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.directories import Directories, Directory, Path
from tahoestorage.tahoe.directorykeys import DirectoryKey, make_key
from tahoestorage.tahoe.serverlist import monotonic_now
from tahoestorage.tahoe.trees import Tree, deepest_directory, walk_down

AT_ONCE = 4
"""So many paths are prepared at once in a process, and so many directories of each are
made at the same time."""
REFUSED_SECONDS = 30.0
"""For so long nothing is prepared after a save that found too few servers: if it is
tried again and again, each time would leave directories on a grid that may be full."""


Makes = Callable[..., Cap]
"""Makes a directory that is linked nowhere: ``Links._make``."""


class Outer(NamedTuple):
    """The directories that were made, from the outermost on; the innermost's key."""

    caps: list[Cap]
    key: DirectoryKey


class _Prepared(NamedTuple):
    directory: Directory
    length: int
    outer: Outer


class _Preparation:
    """What one thread makes; whoever comes first takes it."""

    def __init__(self) -> None:
        self.is_ended = threading.Event()
        self.done: Future[_Prepared | None] = Future()
        self._lock = threading.Lock()
        self._is_taken = False

    def end(self, prepared: _Prepared | None) -> None:
        """Let all who wait have what was prepared; only the first call does so."""
        with self._lock:
            if not self.done.done():
                self.done.set_result(prepared)

    def take(self, directory: Directory, length: int, seconds: float) -> Outer | None:
        """Return it to the first caller whom it fits, else None.

        Waits for it, at most for ``seconds``.
        """
        try:
            prepared = self.done.result(seconds)
        except TimeoutError:
            return None
        if prepared is None or prepared.length != length:
            return None
        if prepared.directory.namespace.identity != directory.namespace.identity:
            return None
        with self._lock:
            is_taken, self._is_taken = self._is_taken, True
        return None if is_taken else prepared.outer


class Preparations:
    """The paths that are prepared below one root. Safe in threads and forks.

    ``are_all_there`` says whether all servers are, and is called with a label.
    ``make`` makes a directory, and is None where it takes no keys: that of ``Links``.
    """

    def __init__(
        self,
        directories: Directories,
        are_all_there: Callable[[str], bool],
        make: Makes | None,
    ) -> None:
        self._directories = directories
        self._are_all_there = are_all_there
        self._make = make
        self.is_on = make is not None
        """Whether anything is prepared: not where the gateway makes its own keys."""
        self._refused_until = -math.inf
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child, where the other threads are gone."""
        self._lock = threading.Lock()
        self._under_way: dict[Path, _Preparation] = {}

    @contextlib.contextmanager
    def preparing(self, parents: Path, *, is_missing: bool) -> Iterator[None]:
        """Make what is missing of the path ``parents`` while the block runs.

        With ``is_missing`` it is known that not all of it is there, which spares a
        request. One thread prepares a path, for all. Errors are not raised: what was
        not prepared is made when it is to be linked. The block's end waits for nothing:
        what is under way then ends by itself.
        """
        mine = self._begun(parents)
        if mine is None:
            yield
            return
        threads = ThreadPoolExecutor(1 + AT_ONCE, "preparing")
        begun: Future[None] = Future()
        try:
            run = contextvars.copy_context().run
            task = partial(self._carry_out, mine, threads, parents, is_missing)
            try:
                begun = threads.submit(run, task)
            except RuntimeError:
                # No thread can be started: the save needs none.
                begun.cancel()
                mine.end(None)
            yield
        except NotEnoughServers:
            self._refused_until = monotonic_now() + REFUSED_SECONDS
            raise
        finally:
            mine.is_ended.set()
            mine.end(None)
            threads.shutdown(wait=False, cancel_futures=True)
            # It counts for as long as it is under way.
            begun.add_done_callback(lambda _: self._forget(parents, mine))

    def tree(
        self,
        directory: Directory,
        parents: Path,
        length: int,
        files: Mapping[str, Link],
        make: Makes,
    ) -> Tree:
        """Make what is missing of ``parents``, to be linked in ``directory``.

        That is at ``parents[:length]``. What was made for just that is in it, once.
        Raises what ``make`` raises.
        """
        with self._lock:
            preparation = self._under_way.get(parents)
        seconds = self._directories.gateway.request_seconds
        outer = preparation and preparation.take(directory, length, seconds)
        if outer:
            try:
                last = partial(make, key=outer.key)
                tree = Tree(parents, length, files, last, outer.caps)
                if tree.caps[-1] == outer.key.cap:
                    return tree
                self.is_on = False
            except GatewayTimeout:
                raise
            except StoreError:
                # With a key of its own it can't be tried again.
                pass
        return Tree(parents, length, files, make)

    def make(
        self,
        make: Makes,
        children: dict[str, Link],
        label: str,
        *,
        key: DirectoryKey | None = None,
    ) -> Cap:
        """Make a directory by a key that is made here, where the gateway takes keys.

        It works on one thing at a time, and has that time for other uploads then. With
        a ``key``, such as that of a prepared path, by that one. Raises what ``make``
        raises.
        """
        if key is not None:
            return make(children, label, key=key)
        if self.is_on:
            key = make_key()
            try:
                cap = make(children, label, key=key)
            except GatewayTimeout:
                raise
            except StoreError:
                # With a key of its own it can't be tried again.
                pass
            else:
                # A gateway of before Tahoe-LAFS 1.19 makes its own.
                self.is_on = cap == key.cap
                return cap
        return make(children, label)

    def _forget(self, parents: Path, mine: _Preparation) -> None:
        with self._lock:
            if self._under_way.get(parents) is mine:
                del self._under_way[parents]

    def _begun(self, parents: Path) -> _Preparation | None:
        if len(parents) < 2 or not self.is_on:
            return None
        if monotonic_now() < self._refused_until:
            return None
        known = self._directories.cached(parents, writing=True)
        if isinstance(known, Directory) and known.write is not None:
            return None
        with self._lock:
            if parents in self._under_way or len(self._under_way) >= AT_ONCE:
                return None
            mine = self._under_way[parents] = _Preparation()
            return mine

    def _carry_out(
        self,
        mine: _Preparation,
        threads: ThreadPoolExecutor,
        parents: Path,
        is_missing: bool,
    ) -> None:
        prepared: _Prepared | None = None
        try:
            find = walk_down if is_missing else deepest_directory
            directory, length = find(self._directories, parents)
            if len(parents) - length >= 2 and directory.write is not None:
                outer = self._outer(mine, threads, parents, length)
                prepared = outer and _Prepared(directory, length, outer)
        except (TahoeStorageError, CancelledError, RuntimeError):
            # Whoever links the file is told. The others: the block has ended.
            pass
        finally:
            mine.end(prepared)

    def _outer(
        self,
        mine: _Preparation,
        threads: ThreadPoolExecutor,
        parents: Path,
        length: int,
    ) -> Outer | None:
        """Make the directories of ``parents`` from ``length`` on, but the innermost."""
        label = "/".join(parents[: length + 1])
        since = monotonic_now()
        if not self._are_all_there(label):
            return None
        making: list[tuple[DirectoryKey | None, Future[Cap]]] = []
        # That of the outermost one is the gateway's: nothing links to it yet.
        key: DirectoryKey | None = None
        for depth in range(length + 1, len(parents)):
            make = self._make
            if mine.is_ended.is_set() or make is None:
                return None
            below = make_key()
            children = {**marker.child(), parents[depth]: Link(below.cap)}
            task = partial(make, children, "/".join(parents[:depth]), since, key)
            run = contextvars.copy_context().run
            making.append((key, threads.submit(run, task)))
            key = below
        caps = [made.result() for _, made in making]
        keys = [key for key, _ in making[1:]]
        if any(key and cap != key.cap for key, cap in zip(keys, caps[1:], strict=True)):
            # The gateway is of before Tahoe-LAFS 1.19.
            self.is_on = False
            return None
        # If a server went away meanwhile, they may be on fewer than the facts have.
        if key is None or not self._are_all_there(label):
            return None
        return Outer(caps, key)
