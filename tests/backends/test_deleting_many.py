"""Many files deleted by one call: in order, and whatever is not is told."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tahoestorage.exceptions import NotAllDeleted

NAMES = [f"dir{number % 2}/{number}.txt" for number in range(12)]
Make = Callable[..., Any]


@pytest.fixture
def make(on_each_store: Make) -> Make:
    return on_each_store


@pytest.fixture
def storage(make: Make) -> Any:
    storage = make()
    list(storage.save_many((name, ContentFile(b"content")) for name in NAMES))
    return storage


def there(make: Make) -> list[str]:
    """Return what is there, as one sees who knows nothing yet."""
    other = make(cache=False)
    return [name for name in NAMES if other.exists(name)]


def test_all_are_deleted_and_yielded_in_order(storage: Any, make: Make) -> None:
    asked = [*NAMES[1:7], "dir0/not there", *NAMES[7:]]
    assert list(storage.delete_many(iter(asked))) == asked
    assert there(make) == NAMES[:1]
    assert not storage.exists(NAMES[1])
    assert storage.exists(NAMES[0])
    assert list(storage.delete_many([])) == []


def test_what_is_not_deleted_is_told(
    storage: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = type(storage).delete

    def fails(self: Any, name: str) -> None:
        if name == NAMES[3]:
            raise OSError("the store is out")
        delete(self, name)

    monkeypatch.setattr(type(storage), "delete", fails)
    gone: list[str] = []
    with pytest.raises(NotAllDeleted, match=r"3\.txt: not deleted: .* out") as info:
        gone.extend(storage.delete_many(NAMES, jobs=2))

    assert gone == NAMES[:3]
    error = copy.copy(info.value)
    assert {n: name for n, (name, _) in error.errors.items()} == {3: NAMES[3]}
    left = [name for name in NAMES if name not in [*gone, *error.deleted.values()]]
    assert there(make) == left
    assert len(left) > 1


def test_nothing_is_begun_once_nobody_takes_the_names(storage: Any, make: Make) -> None:
    def names() -> Iterator[str]:
        yield from NAMES

    deleting = storage.delete_many(names(), jobs=1)
    assert next(deleting) == NAMES[0]
    deleting.close()
    assert len(there(make)) >= len(NAMES) - 3
    assert not [each for each in threading.enumerate() if "many_files" in each.name]


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_must_be_some(storage: Any, jobs: int) -> None:
    with pytest.raises(ValueError, match="jobs is"):
        list(storage.delete_many(NAMES, jobs=jobs))
