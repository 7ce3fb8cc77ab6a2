"""Directories that are missing on the way to a file, made while it is uploaded.

All but the innermost one are made at the same time, for their keys are made here (see
``directorykeys``). Nothing links to them until the file is there: if the upload fails
they are never seen, and the grid forgets them with their leases.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from tahoestorage import forks
from tahoestorage.exceptions import GatewayTimeout, StoreError, TahoeStorageError
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.directories import Directories, Directory, Path
from tahoestorage.tahoe.directorykeys import DirectoryKey, make_key
from tahoestorage.tahoe.trees import Tree, deepest_directory, walk_down

AT_ONCE = 4
"""So many paths are prepared at once in a process, and so many directories of each are
made at the same time."""


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

    def take(self, directory: Directory, length: int) -> Outer | None:
        """Wait for it; return it to the first caller whom it fits, else None."""
        # It ends: each request that it sends has its time.
        prepared = self.done.result()
        if prepared is None or prepared.length != length:
            return None
        if prepared.directory.namespace.identity != directory.namespace.identity:
            return None
        with self._lock:
            is_taken, self._is_taken = self._is_taken, True
        return None if is_taken else prepared.outer


class Preparations:
    """The paths that are prepared below one root. Safe in threads and forks.

    ``prepare`` is called with a label before directories are made, and after; it
    returns when that began. ``make`` makes one, and is None where it takes no keys.
    Both are those of ``Links``.
    """

    def __init__(
        self,
        directories: Directories,
        prepare: Callable[[str], float | None],
        make: Makes | None,
    ) -> None:
        self._directories = directories
        self._prepare = prepare
        self._make = make
        self.is_on = make is not None
        """Whether anything is prepared: not where the gateway makes its own keys."""
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
        not prepared is made when it is to be linked. At the end of the block, what is
        under way is waited for.
        """
        mine = self._begun(parents)
        if mine is None:
            yield
            return
        try:
            with ThreadPoolExecutor(1 + AT_ONCE, "preparing") as threads:
                run = contextvars.copy_context().run
                task = partial(self._carry_out, mine, threads, parents, is_missing)
                try:
                    threads.submit(run, task)
                except RuntimeError:
                    # No thread can be started: the save needs none.
                    mine.done.set_result(None)
                try:
                    yield
                finally:
                    mine.is_ended.set()
        finally:
            with self._lock:
                self._under_way.pop(parents, None)

    def tree(
        self, directory: Directory, path: Path, length: int, file: Link, make: Makes
    ) -> Tree:
        """Make what is missing of ``path``, to be linked in ``directory``.

        That is at ``path[:length]``. What was made for just that is in it, once. Raises
        what ``make`` raises.
        """
        with self._lock:
            preparation = self._under_way.get(path[:-1])
        outer = preparation and preparation.take(directory, length)
        if outer:
            try:
                last = partial(make, key=outer.key)
                tree = Tree(path, length, file, last, outer.caps)
                if tree.caps[-1] == outer.key.cap:
                    return tree
                self.is_on = False
            except GatewayTimeout:
                raise
            except StoreError:
                # With a key of its own it can't be tried again.
                pass
        return Tree(path, length, file, make)

    def _begun(self, parents: Path) -> _Preparation | None:
        if len(parents) < 2 or not self.is_on:
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
        except TahoeStorageError:
            # Whoever links the file is told.
            pass
        finally:
            mine.done.set_result(prepared)

    def _outer(
        self,
        mine: _Preparation,
        threads: ThreadPoolExecutor,
        parents: Path,
        length: int,
    ) -> Outer | None:
        """Make the directories of ``parents`` from ``length`` on, but the innermost."""
        label = "/".join(parents[: length + 1])
        since = self._prepare(label)
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
        # If a server went away meanwhile, the facts must have it before the link.
        self._prepare(label)
        return None if key is None else Outer(caps, key)
