"""The names by which a save goes on where the one before was refused."""

from __future__ import annotations

import pytest

from tahoestorage.backends.saving import ALTERNATIVES, Saving
from tahoestorage.exceptions import NameTaken


class Listed(Saving):
    """A store of names, which refuses those that it has."""

    _overwrites = False

    def __init__(self, *names: str) -> None:
        self.names = {*names}
        self.asked: list[str] = []

    def exists(self, name: str) -> bool:
        return name in self.names

    def attempt(self, name: str) -> None:
        self.asked.append(name)
        if name in self.names:
            raise NameTaken(f"{name}: the name is taken")
        self.names.add(name)


def test_a_name_that_is_free_again_by_then_is_tried_once_more() -> None:
    storage = Listed("a")

    def attempt(name: str) -> None:
        try:
            storage.attempt(name)
        finally:
            if len(storage.asked) == 1:
                storage.names.clear()

    assert storage._by_free_name("a", attempt) == "a"
    assert storage.asked == ["a", "a"]


def test_a_name_that_is_refused_though_it_is_free_is_not_tried_a_third_time() -> None:
    storage = Listed()

    def attempt(name: str) -> None:
        storage.asked.append(name)
        raise NameTaken(f"{name}: the name is taken")

    with pytest.raises(NameTaken, match="a: the name is taken"):
        storage._by_free_name("a", attempt)
    assert storage.asked == ["a", "a"]


def test_a_method_that_gives_the_refused_name_is_asked_once() -> None:
    class Fixed(Listed):
        def get_available_name(self, name: str, max_length: int | None = None) -> str:
            return name

    storage = Fixed("a")
    with pytest.raises(NameTaken):
        storage._by_free_name("a", storage.attempt)
    assert storage.asked == ["a"]


def test_names_that_are_refused_one_after_another_come_to_an_end() -> None:
    storage = Listed()

    def attempt(name: str) -> None:
        storage.names.add(name)
        storage.attempt(name)

    with pytest.raises(NameTaken, match=f"as were {ALTERNATIVES} others"):
        storage._by_free_name("a.txt", attempt)
    assert len({*storage.asked}) == len(storage.asked) == ALTERNATIVES
