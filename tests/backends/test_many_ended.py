"""Many files by one call that the caller ends: what is done is done, and told."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile, File

from tahoestorage.backends import savingmany
from tahoestorage.exceptions import NotAllDeleted, NotAllSaved

LONG = b"longer than a cap can hold " * 4
NAMES = [f"dir/{number:04}.txt" for number in range(12)]
Make = Callable[..., Any]
Pairs = Iterator[tuple[str, "File[Any]"]]


@pytest.fixture
def make(on_each_store: Make) -> Make:
    return on_each_store


def there(make: Make) -> list[str]:
    """Return what is there, as one sees who knows nothing yet."""
    other = make(cache=False)
    return [name for name in NAMES if other.exists(name)]


def doing(before: Callable[[], object]) -> File[Any]:
    """Return content that calls this while it is uploaded."""

    class Doing(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            before()
            yield LONG

    return Doing(LONG)


def fail() -> None:
    raise OSError("the disk is gone")


def assert_nothing_goes_on() -> None:
    assert not [each for each in threading.enumerate() if "many_files" in each.name]


def told(error: BaseException, call: str) -> tuple[list[str], list[str]]:
    """Return which names a note says to be done besides, and which not."""
    [note] = [each for each in error.__notes__ if each.startswith(call)]
    done, _, undone = note.partition("; not ")

    def names(text: str) -> list[str]:
        found: list[str] = []
        for first, last in re.findall(r"(\d+)(?: to (\d+))? \(dir", text):
            found += NAMES[int(first) : int(last or first) + 1]
        return found

    return names(done), names(undone)


def test_what_came_before_an_error_of_the_pairs_is_saved_and_yielded(
    make: Make,
) -> None:
    has_raised = threading.Event()

    def some() -> Pairs:
        # They are under way still when the pairs have no more to give.
        for name in NAMES[:5]:
            yield name, doing(lambda: has_raised.wait(120))
        has_raised.set()
        raise LookupError("no more")

    yielded: list[str] = []
    with pytest.raises(LookupError, match="no more"):
        yielded.extend(make().save_many(some(), jobs=5))
    assert yielded == NAMES[:5]
    assert there(make) == NAMES[:5]
    assert_nothing_goes_on()


def test_an_error_of_the_pairs_beside_one_of_a_file_is_its_cause(make: Make) -> None:
    has_raised = threading.Event()

    def some() -> Pairs:
        yield NAMES[0], ContentFile(LONG)

        def fail_later() -> None:
            has_raised.wait(120)
            fail()

        yield NAMES[1], doing(fail_later)
        yield NAMES[2], doing(lambda: has_raised.wait(120))
        has_raised.set()
        raise LookupError("no more")

    yielded: list[str] = []
    with pytest.raises(NotAllSaved, match="the disk is gone") as info:
        yielded.extend(make().save_many(some(), jobs=3))
    assert yielded == NAMES[:1]
    assert [name for name, _ in info.value.errors.values()] == NAMES[1:2]
    assert info.value.saved == {2: NAMES[2]}
    assert there(make) == [NAMES[0], NAMES[2]]
    assert repr(info.value.__cause__) == "LookupError('no more')"


def test_what_came_before_an_error_of_the_names_is_deleted_and_yielded(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make()
    list(storage.save_many((name, ContentFile(LONG)) for name in NAMES))
    has_raised = threading.Event()
    delete = type(storage).delete

    def late(self: Any, name: str) -> None:
        has_raised.wait(120)
        if name == NAMES[4]:
            fail()
        delete(self, name)

    monkeypatch.setattr(type(storage), "delete", late)

    def some(count: int) -> Iterator[str]:
        yield from NAMES[:count]
        has_raised.set()
        raise LookupError("no more")

    gone: list[str] = []
    with pytest.raises(LookupError, match="no more"):
        gone.extend(storage.delete_many(some(3), jobs=3))
    assert gone == NAMES[:3]

    has_raised.clear()
    with pytest.raises(NotAllDeleted, match="the disk is gone") as info:
        list(storage.delete_many(some(6), jobs=6))
    assert repr(info.value.__cause__) == "LookupError('no more')"
    assert info.value.deleted == {5: NAMES[5]}
    assert there(make) == [NAMES[4], *NAMES[6:]]


def test_no_more_is_taken_once_a_file_has_failed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_failed, taken = threading.Event(), 0
    ended = savingmany.Sender._ended

    def ending(self: savingmany.Sender, future: Any) -> None:
        ended(self, future)
        if self.has_failed:
            has_failed.set()

    monkeypatch.setattr(savingmany.Sender, "_ended", ending)

    def some() -> Iterator[tuple[str, Callable[[], object]]]:
        nonlocal taken
        for number, name in enumerate(NAMES):
            taken += 1
            yield name, fail if number == 1 else lambda: has_failed.wait(120)

    yielded: list[str] = []
    contents = ((name, doing(before)) for name, before in some())
    with pytest.raises(NotAllSaved, match="the disk is gone") as info:
        yielded.extend(make().save_many(contents, jobs=2))
    assert yielded == NAMES[:1]
    assert {*info.value.errors} == {1}
    assert taken <= savingmany.AHEAD * 2
    assert there(make) == [*yielded, *info.value.saved.values()]


def interrupt() -> None:
    """Have the main thread get Ctrl-C."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def test_ctrl_c_waits_for_what_is_under_way_and_tells_of_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held until nothing more is begun; so the others are not."""
    is_ending = threading.Event()
    end = savingmany.Sender.end

    def ending(self: savingmany.Sender) -> None:
        threads = self._threads
        threads.shutdown(wait=False, cancel_futures=True)
        is_ending.set()
        end(self)

    monkeypatch.setattr(savingmany.Sender, "end", ending)

    is_noted = threading.Event()

    def held() -> None:
        assert is_noted.wait(120)
        interrupt()
        assert is_ending.wait(120)

    def some() -> Pairs:
        yield NAMES[0], doing(held)
        is_noted.set()
        for name in NAMES[1:]:
            yield name, ContentFile(LONG)

    storage = make()
    with pytest.raises(KeyboardInterrupt) as info:
        list(storage.save_many(some(), jobs=1))

    assert_nothing_goes_on()
    saved, not_saved = told(info.value, "save_many ended here")
    assert there(make) == saved
    # On a grid it was uploaded, and is linked nowhere.
    assert NAMES[0] in saved + not_saved
    assert not {*saved} & {*not_saved}
    if "Tahoe" not in type(storage).__name__:
        assert saved == NAMES[:1]


def test_ctrl_c_in_a_delete_tells_what_is_gone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make()
    list(storage.save_many((name, ContentFile(LONG)) for name in NAMES))
    delete, is_raised = type(storage).delete, threading.Event()

    def late(self: Any, name: str) -> None:
        if name == NAMES[1]:
            assert is_raised.wait(120)
        if name == NAMES[2]:
            fail()
        delete(self, name)

    monkeypatch.setattr(type(storage), "delete", late)

    def some() -> Iterator[str]:
        yield from NAMES[:4]
        is_raised.set()
        raise KeyboardInterrupt

    gone: list[str] = []
    with pytest.raises(KeyboardInterrupt) as info:
        gone.extend(storage.delete_many(some(), jobs=4))

    assert_nothing_goes_on()
    deleted, not_deleted = told(info.value, "delete_many ended here")
    assert sorted(deleted + not_deleted) == NAMES[len(gone) : 4]
    assert NAMES[2] in not_deleted
    assert [name for name in NAMES if name not in gone + deleted] == there(make)


def test_what_is_thrown_in_at_a_yield_tells_the_same(make: Make) -> None:
    storage = make()
    saving = storage.save_many((name, ContentFile(LONG)) for name in NAMES)
    yielded = [next(saving), next(saving)]
    with pytest.raises(LookupError) as info:
        saving.throw(LookupError("no more, please"))
    assert_nothing_goes_on()
    saved, not_saved = told(info.value, "save_many ended here")
    assert not {*yielded} & {*saved, *not_saved}
    assert there(make) == yielded + saved


def test_a_link_that_is_under_way_is_made_and_told(
    storage: Any, make_storage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the batch is taken by another, and is told not to be saved."""
    other = make_storage(cache=False)
    link_together, calls = type(storage).link_together, 0

    def linking(self: Any, caps: Any, replace: Any = "false") -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            return dict.fromkeys(caps, OSError("the disk is gone"))
        other.save(NAMES[3], ContentFile(b"of the other"))
        refused = link_together(self, caps, replace)
        interrupt()
        return refused

    monkeypatch.setattr(type(storage), "link_together", linking)
    with pytest.raises(KeyboardInterrupt) as info:
        list(storage.save_many((name, ContentFile(LONG)) for name in NAMES))
    saved, not_saved = told(info.value, "save_many ended here")
    assert not_saved == [NAMES[3]]
    assert saved == [name for name in NAMES if name != NAMES[3]]
    fresh = make_storage(cache=False)
    assert {fresh.size(name) for name in saved} == {len(LONG)}
