"""Many files saved or deleted by one call: in parallel, yielded in their order."""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from tahoestorage.exceptions import NameTaken, NotAllDeleted, NotAllSaved, StoreError

R = TypeVar("R")
U = TypeVar("U")
Pair = tuple[str, Any]
Attempt = Callable[[str, Any], R]
Errors = dict[int, tuple[str, Exception]]
"""The name that was asked for and its error, by position."""

AHEAD = 2
"""So many files for each thread are taken from the caller before they are sent."""
FIRST, MOST = 64, 4096
"""How many files are linked at once: first, and after that twice as many each time."""
SECONDS = 30.0
"""After so many seconds what was sent is linked, however few files it is: until then
nothing of it is safe, and no name is yielded."""
ATTEMPTS = 100


class Sender:
    """Calls functions for pairs of name and content, in ``jobs`` threads."""

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise ValueError(f"jobs is {jobs}; expected 1 or more")
        self.ahead = AHEAD * jobs
        self.has_failed = False
        """Whether a call has raised."""
        self._free = threading.Semaphore(self.ahead)
        self._threads = ThreadPoolExecutor(jobs, "many_files")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the block, calls can be made. What is left at its end is not begun."""
        try:
            yield
        finally:
            self._threads.shutdown(cancel_futures=True)

    def call(self, function: Attempt[R], pair: Pair) -> Future[R]:
        """Have it called; wait while ``ahead`` calls are under way."""
        self._free.acquire()
        # The caller's prefetch blocks hold in the thread, too.
        run = contextvars.copy_context().run
        future = self._threads.submit(run, function, *pair)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        self.has_failed |= not future.cancelled() and future.exception() is not None
        self._free.release()


def save_each(
    save: Attempt[str], pairs: Iterable[Pair], sender: Sender
) -> Iterator[str]:
    """Save each pair by ``save``, and yield the names that it returns, in their order.

    Raises NotAllSaved after the first error: what was under way is ended first.
    """
    return _do_each(save, pairs, sender, not_all_saved)


def delete_each(
    delete: Callable[[str], None], names: Iterable[str], sender: Sender
) -> Iterator[str]:
    """Delete each file by ``delete``, and yield the names, in their order.

    Raises NotAllDeleted after the first error: what was under way is ended first.
    """

    def gone(name: str, _: None) -> str:
        delete(name)
        return name

    return _do_each(gone, ((name, None) for name in names), sender, not_all_deleted)


def _do_each(
    act: Attempt[str],
    pairs: Iterable[Pair],
    sender: Sender,
    not_all: Callable[[Errors, dict[int, str]], StoreError],
) -> Iterator[str]:
    source = enumerate(pairs)
    under_way: deque[tuple[int, str, Future[str]]] = deque()
    while True:
        for number, pair in itertools.islice(source, sender.ahead - len(under_way)):
            under_way.append((number, pair[0], sender.call(act, pair)))
        if not under_way:
            return
        if under_way[0][2].exception() is not None:
            break
        yield under_way.popleft()[2].result()
    errors: Errors = {}
    done: dict[int, str] = {}
    for number, name, future in under_way:
        error = future.exception()
        if error is None:
            done[number] = future.result()
        else:
            errors[number] = name, as_error(error)
    raise not_all(errors, done)


class LinksMany(Protocol[U]):
    """What ``save_together`` needs of a storage."""

    def free_name(self, name: str, is_chosen: Callable[[str], bool]) -> str:
        """Return a free name for ``name``, as it is stored.

        ``is_chosen`` is False for it.
        """

    def send(self, name: str, content: Any) -> U:
        """Upload content that no name leads to yet."""

    def link(self, uploads: Mapping[str, U]) -> Mapping[str, Exception]:
        """Link uploads by their names; return what was not linked, and why."""


def save_together(
    storage: LinksMany[U], pairs: Iterable[Pair], sender: Sender
) -> Iterator[str]:
    """Upload the contents, link many at once, and yield the names in their order.

    The more files a directory has, the longer a change of it takes, and the more of
    them are linked by one; but none waits for much longer than ``SECONDS``. Raises
    NotAllSaved after the first error: what was under way is ended first, and what can
    be linked is.
    """
    source, count = enumerate(pairs), FIRST
    while True:
        batch, ends = _Batch(storage, sender), time.monotonic() + SECONDS
        for number, (asked, content) in itertools.islice(source, count):
            batch.send(number, asked, content)
            is_late = time.monotonic() >= ends
            if batch.errors or sender.has_failed or is_late:
                break
        if not batch.asked:
            return
        batch.link()
        for number in batch.asked:
            if number not in batch.names:
                break
            yield batch.names.pop(number)
        if batch.errors:
            raise not_all_saved(batch.errors, batch.names)
        if len(batch.asked) == count:
            count = min(2 * count, MOST)


class _Batch(Generic[U]):
    """Files that are linked together. All of its mappings are by position."""

    def __init__(self, storage: LinksMany[U], sender: Sender) -> None:
        self._storage = storage
        self._sender = sender
        self._chosen: set[str] = set()
        self._uploads: dict[int, Future[U]] = {}
        self.asked: dict[int, str] = {}
        self.names: dict[int, str] = {}
        """The names of what is saved, or on its way."""
        self.errors: Errors = {}

    def send(self, number: int, asked: str, content: Any) -> None:
        """Begin to upload content."""
        self.asked[number] = asked
        if self._choose(number):
            pair = self.names[number], content
            self._uploads[number] = self._sender.call(self._storage.send, pair)

    def _choose(self, number: int) -> bool:
        """Choose a free name, other than all before; return whether there is one."""
        asked = self.asked[number]
        try:
            name = self._storage.free_name(asked, self._chosen.__contains__)
        except Exception as error:
            self._fail(number, error)
            return False
        self._chosen.add(name)
        self.names[number] = name
        return True

    def _fail(self, number: int, error: Exception) -> None:
        self.errors[number] = self.asked[number], error
        self.names.pop(number, None)

    def link(self) -> None:
        """Link what was uploaded. What is not saved then stands in ``errors``."""
        for number, upload in self._uploads.items():
            error = upload.exception()
            if error is not None:
                self._fail(number, as_error(error))
        pending = [*self.names]
        for _ in range(ATTEMPTS):
            uploads = {self.names[n]: self._uploads[n].result() for n in pending}
            refused = self._storage.link(uploads)
            again = [n for n in pending if self.names[n] in refused]
            pending = []
            for number in again:
                error = refused[self.names[number]]
                if not isinstance(error, NameTaken):
                    self._fail(number, error)
                elif self._choose(number):
                    pending.append(number)
            if not pending:
                return
        for number in pending:
            message = f"{self.asked[number]}: the name is taken, as were others"
            self._fail(number, NameTaken(message))


def by_directory(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names by the part before their last slash."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[name.rpartition("/")[0]].append(name)
    return found


def as_error(error: BaseException) -> Exception:
    """Return an error that can be told; raise an interruption, which is none."""
    if not isinstance(error, Exception):
        raise error
    return error


def not_all_saved(errors: Errors, saved: dict[int, str]) -> NotAllSaved:
    """Return what is raised where some files were not saved."""
    name, first = errors[min(errors)]
    others = f", and {len(errors) - 1} other files" if len(errors) > 1 else ""
    error = NotAllSaved(
        f"{name}{others}: not saved: {first}; what was yielded is safe, and so is what "
        "stands in `saved`; save the rest again",
        errors,
        saved,
    )
    error.__cause__ = first if isinstance(first, StoreError) else None
    return error


def not_all_deleted(errors: Errors, deleted: dict[int, str]) -> NotAllDeleted:
    """Return what is raised where some files were not deleted."""
    name, first = errors[min(errors)]
    others = f", and {len(errors) - 1} other files" if len(errors) > 1 else ""
    error = NotAllDeleted(
        f"{name}{others}: not deleted: {first}; what was yielded is gone, and so is "
        "what stands in `deleted`; delete the rest again",
        errors,
        deleted,
    )
    error.__cause__ = first if isinstance(first, StoreError) else None
    return error
