"""Many files saved by few changes of directories: sent, then linked in batches."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, TimeoutError
from typing import Any, Generic, Protocol, TypeVar

from tahoestorage.backends.savingmany import (
    SAVED,
    Errors,
    Pair,
    Sender,
    as_error,
    name_asked,
)
from tahoestorage.exceptions import NameTaken, StoreError

U = TypeVar("U")

FIRST, MOST = 64, 4096
"""How many files are linked at once: at first, and at most."""
SECONDS = 30.0
"""After so many seconds what was uploaded is linked, however few files it is: until
then nothing of it is safe, and no name is yielded."""
ATTEMPTS = 100


class LinksMany(Protocol[U]):
    """What ``save_together`` needs of a storage."""

    def send(self, name: str, content: Any) -> U:
        """Upload content that no name leads to yet; ``name`` is the one asked for."""

    def free_name(self, name: str, is_chosen: Callable[[str], bool]) -> str:
        """Return a free name for ``name``, as it is stored.

        ``is_chosen`` is False for it.
        """

    def count_in(self, directory: str) -> int:
        """Return about how many names a directory has, 0 where that is not known."""

    def link(self, uploads: Mapping[str, U]) -> Mapping[str, Exception]:
        """Link uploads by their names; return what was not linked, and why."""


def save_together(
    storage: LinksMany[U], pairs: Iterable[Pair], sender: Sender
) -> Iterator[str]:
    """Upload the contents, link many at once, and yield the names in their order.

    While one batch is linked the next is uploaded. The more names a directory has, the
    longer a change of it takes: so a batch has as many as its directories have already,
    or as were linked before it, ``MOST`` at most. But after ``SECONDS`` what is
    uploaded is linked, and waits for no upload that takes longer. While the next pair
    is waited for, nothing new is linked, and no name is yielded. Raises NotAllSaved
    after the first error: what was under way is ended first, and what can be linked is.
    So it is before an error of ``pairs`` is raised, which is NotAllSaved's cause where
    there are both.
    """
    source, is_ended = enumerate(pairs), False
    failure: Exception | None = None
    filling: _Batch[U] = _Batch(storage, sender)
    linking: _Batch[U] | None = None
    count, errors, saved = 0, Errors(), dict[int, str]()
    # How many names were yielded.
    yielded = 0

    def takes_more() -> bool:
        return sender.has_room and not (is_ended or filling.is_full)

    def goes_on() -> bool:
        return takes_more() or (linking is not None and linking.is_answered)

    try:
        while linking is not None or filling.asked or not is_ended:
            if linking is not None and linking.is_linked():
                filling.take_over(linking)
                count += len(linking.names)
                saved |= linking.names
                errors |= linking.errors
                linking = None
                while yielded in saved:
                    yielded += 1
                    yield saved.pop(yielded - 1)
            is_ended |= sender.has_failed or bool(errors or filling.errors)
            if takes_more():
                try:
                    number, (asked, content) = next(source)
                except StopIteration:
                    is_ended = True
                except Exception as error:
                    failure, is_ended = error, True
                else:
                    filling.send(number, asked, content)
            if linking is not None:
                sender.wait(goes_on)
            elif filling.is_due(count, is_last=is_ended):
                filling.link()
                linking, filling = filling, _Batch(storage, sender)
            elif not is_ended:
                sender.wait(goes_on, filling.seconds_left)
    except BaseException as interruption:
        sender.end()
        undone = {number: name for number, (name, _) in errors.items()}
        for batch in (linking, filling):
            if batch is not None:
                undone |= batch.end()
                saved |= batch.names
        SAVED.note(interruption, saved, undone)
        raise
    if errors:
        raise SAVED.error(errors, saved, failure)
    if failure is not None:
        raise failure


class _Batch(Generic[U]):
    """Files that are linked together. All of its mappings are by position.

    Names are chosen, and looked up, by the thread that calls, while no batch is being
    linked: what is known of a directory is in motion meanwhile.
    """

    def __init__(self, storage: LinksMany[U], sender: Sender) -> None:
        self._storage = storage
        self._sender = sender
        self._ends = 0.0
        self._under_way: deque[tuple[int, Future[U]]] = deque()
        self._uploads: dict[int, U] = {}
        self._failed: dict[int, Exception] = {}
        self._nameless: list[int] = []
        self._chosen: set[str] = set()
        self._directories: set[str] = set()
        # About how many names all of them have: each is written whole.
        self._names_there = 0
        # By directory, why no name could be looked up in it.
        self._unknown: dict[str, StoreError] = {}
        # Those of ``names`` that are not linked, as far as is known.
        self._pending: dict[int, None] = {}
        self._attempts = 0
        # Those of ``_pending`` that were left out, for they were not uploaded in time.
        self._late: list[int] = []
        self._answer: Future[Mapping[str, Exception]] = Future()
        self.asked: dict[int, str] = {}
        self.names: dict[int, str] = {}
        """The names of what is saved, or on its way."""
        self.errors: Errors = {}

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        return len(self.asked) >= MOST

    def send(self, number: int, asked: str | None, content: Any) -> None:
        """Begin to upload content."""
        if not self.asked:
            self._ends = time.monotonic() + SECONDS
        self.asked[number] = asked = name_asked(asked, content)
        self._nameless.append(number)
        upload = self._sender.call(self._storage.send, (asked, content))
        self._under_way.append((number, upload))
        # A Future takes much more memory than what it has.
        while self._under_way and self._under_way[0][1].done():
            self._take_upload(*self._under_way.popleft())

    def _take_upload(self, number: int, upload: Future[U]) -> None:
        """Take what was uploaded, or its error."""
        error = upload.exception()
        if error is None:
            self._uploads[number] = upload.result()
        else:
            self._failed[number] = as_error(error)

    def _take_uploads(self) -> None:
        """Take all uploads; wait for them until the time is up."""
        left: deque[tuple[int, Future[U]]] = deque()
        for number, upload in self._under_way:
            seconds = max(0.0, self._ends - time.monotonic())
            with contextlib.suppress(TimeoutError):
                upload.exception(seconds)
            if upload.done():
                self._take_upload(number, upload)
            else:
                left.append((number, upload))
        self._under_way = left

    def is_due(self, count: int, *, is_last: bool) -> bool:
        """Choose names for what has none yet; return whether to link it all now.

        ``count`` files were linked before it. With ``is_last`` no more will come.
        """
        for number in self._nameless:
            self._choose(number)
        self._nameless.clear()
        if is_last:
            return bool(self.asked)
        if time.monotonic() >= self._ends and self._has_uploads:
            return True
        wanted = max(FIRST, count, self._names_there)
        return len(self.asked) >= min(wanted, MOST)

    @property
    def _has_uploads(self) -> bool:
        return bool(self._uploads) or any(each.done() for _, each in self._under_way)

    @property
    def seconds_left(self) -> float | None:
        """For how long what is uploaded may wait; None where nothing is."""
        return max(0.0, self._ends - time.monotonic()) if self._has_uploads else None

    def _choose(self, number: int) -> None:
        """Choose a free name, other than all before; if there is none it has failed."""
        asked = self.asked[number]
        place = asked.rpartition("/")[0]
        error: Exception | None = self._unknown.get(place)
        if error is None:
            try:
                name = self._storage.free_name(asked, self._chosen.__contains__)
                directory = name.rpartition("/")[0]
                if directory not in self._directories:
                    self._directories.add(directory)
                    self._names_there += self._storage.count_in(directory)
            except StoreError as caught:
                # Each of the others would wait for as long.
                error = self._unknown[place] = caught
            except Exception as caught:
                error = caught
        if error is not None:
            self._fail(number, error)
            return
        self._chosen.add(name)
        self.names[number] = name
        self._pending[number] = None

    def _fail(self, number: int, error: Exception) -> None:
        self.errors[number] = self.asked[number], error
        self.names.pop(number, None)
        self._pending.pop(number, None)

    def link(self) -> None:
        """Begin to link what has a name, once all is uploaded, or the time is up."""
        self._attempts = ATTEMPTS
        self._answer = self._sender.call_beside(self._link)

    def _link(self) -> Mapping[str, Exception]:
        self._take_uploads()
        # Of two of one name, where a save overwrites, the later one is to stay.
        held = {self.names[n] for n, _ in self._under_way if n in self._pending}
        self._late = [n for n in self._pending if self.names[n] in held]
        uploaded = [n for n in self._pending if n in self._uploads]
        ready = {self.names[n]: self._uploads[n] for n in uploaded}
        for name in held:
            ready.pop(name, None)
        return self._storage.link(ready) if ready else {}

    @property
    def is_answered(self) -> bool:
        """Whether ``is_linked`` has something to look at."""
        return self._answer.done()

    def is_linked(self) -> bool:
        """Return whether all is done: what is not saved then stands in ``errors``.

        Names that were found to be taken are chosen, and linked, anew. What was not
        uploaded in time is for ``take_over``.
        """
        if not self._answer.done():
            return False
        refused = self._take_answer()
        self._attempts -= 1
        late = {*self._late}
        for number in [n for n in self._pending if n not in late]:
            error = refused[self.names[number]]
            if isinstance(error, NameTaken) and not self._attempts:
                message = f"{self.asked[number]}: the name is taken, as were others"
                error = NameTaken(message)
            elif isinstance(error, NameTaken):
                self._choose(number)
                continue
            self._fail(number, error)
        if self._pending.keys() <= late:
            return True
        self._answer = self._sender.call_beside(self._link)
        return False

    def take_over(self, before: _Batch[U]) -> None:
        """Take what was not uploaded in time for the batch ``before`` this one."""
        if before._late and not self.asked:
            self._ends = time.monotonic() + SECONDS
        # First, as it comes first: what this one has was given no names yet.
        asked, self.asked = self.asked, {}
        for number in before._late:
            self.asked[number] = before.asked.pop(number)
            name = self.names[number] = before.names.pop(number)
            before._pending.pop(number)
            self._pending[number] = None
            self._chosen.add(name)
            if number in before._uploads:
                self._uploads[number] = before._uploads.pop(number)
        self.asked |= asked
        late = [each for each in before._under_way if each[0] in self.asked]
        self._under_way.extendleft(reversed(late))

    def _take_answer(self) -> Mapping[str, Exception]:
        """Return what was refused; nothing else is pending then."""
        refused, self._answer = self._answer.result(), Future()
        for number, failure in self._failed.items():
            self._fail(number, failure)
        self._late = [n for n in self._late if n in self._pending]
        late = {*self._late}
        linked = [
            n for n in self._pending if n not in late and self.names[n] not in refused
        ]
        for number in linked:
            del self._pending[number]
        return refused

    def end(self) -> dict[int, str]:
        """Return what is not saved, once nothing is under way any more.

        What is saved and was not yielded is left in ``names``.
        """
        answer = self._answer
        if answer.done() and not (answer.cancelled() or answer.exception()):
            self._take_answer()
        unsaved = [*self._nameless, *self._pending, *self.errors]
        for number in unsaved:
            self.names.pop(number, None)
        return {number: self.asked[number] for number in unsaved}
