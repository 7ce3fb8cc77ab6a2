"""Group commit: links made by several threads go into one change of a directory."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from tahoestorage.tahoe.caps import Cap

LinkTogether = Callable[[Mapping[str, Cap]], Mapping[str, Exception]]
"""Links caps by their names; returns what was not linked, and why."""


MOST = 192
"""So many wait for no others."""
LINGER_SECONDS = 3.0
"""For so long who waits in a directory waits for uploads that go to the same one."""


class LinkQueue:
    """Threads that link files in one directory wait for the change that is under way.

    All who wait are then served by one change ("group commit"): a grid writes a
    directory whole, however few names are added. So they also wait for those who are
    uploading a file for the same directory, but not for long ones.
    """

    def __init__(self, link_together: LinkTogether) -> None:
        self._link_together = link_together
        self._changed = threading.Condition()
        self._waiting: defaultdict[str, dict[str, tuple[Cap, Future[None]]]]
        self._waiting = defaultdict(dict)
        self._coming: Counter[str] = Counter()
        self._busy: set[str] = set()

    @contextmanager
    def announced(self, name: str) -> Iterator[Callable[[Cap], None]]:
        """Say that a file is about to be uploaded; yield what links it: see ``link``.

        Others wait for it until it is linked, or the block ends.
        """
        directory, is_coming = name.rpartition("/")[0], True

        def arrive() -> None:
            nonlocal is_coming
            if is_coming:
                is_coming = False
                self._coming[directory] -= 1
                self._changed.notify_all()

        with self._changed:
            self._coming[directory] += 1
        try:
            yield lambda cap: self._link(name, cap, arrive)
        finally:
            with self._changed:
                arrive()

    def link(self, name: str, cap: Cap) -> None:
        """Link a cap by a free name, which no other thread links at the same time.

        Raises NameTaken, and what else keeps a link from being made.
        """
        with self.announced(name) as link:
            link(cap)

    def _link(self, name: str, cap: Cap, arrive: Callable[[], None]) -> None:
        directory, done = name.rpartition("/")[0], Future[None]()
        with self._changed:
            self._waiting[directory][name] = cap, done
            arrive()
            leads = directory not in self._busy
            self._busy.add(directory)
        if leads:
            self._serve(directory)
        done.result()

    def _serve(self, directory: str) -> None:
        """Link what waits, until nothing does."""
        while batch := self._next(directory):
            try:
                caps = {name: cap for name, (cap, _) in batch.items()}
                errors = self._link_together(caps)
            except BaseException as error:
                # Nobody else would serve those who have come meanwhile.
                for _, done in [*batch.values(), *self._abandon(directory).values()]:
                    done.set_exception(error)
                raise
            for name, (_, done) in batch.items():
                if name in errors:
                    done.set_exception(errors[name])
                else:
                    done.set_result(None)

    def _next(self, directory: str) -> dict[str, tuple[Cap, Future[None]]]:
        with self._changed:
            if self._waiting[directory]:
                self._changed.wait_for(
                    lambda: self._is_complete(directory), LINGER_SECONDS
                )
            batch = self._waiting.pop(directory, {})
            if not batch:
                self._busy.discard(directory)
                # Of directories without end, nothing stays.
                self._coming += Counter()
            return batch

    def _is_complete(self, directory: str) -> bool:
        return not self._coming[directory] or len(self._waiting[directory]) >= MOST

    def _abandon(self, directory: str) -> dict[str, tuple[Cap, Future[None]]]:
        with self._changed:
            self._busy.discard(directory)
            return self._waiting.pop(directory, {})
