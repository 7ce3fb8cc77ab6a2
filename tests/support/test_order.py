"""Tests of which tests come first."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.order import LONG, SHARED, place

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", LONG)
def test_each_long_module_exists(module: str) -> None:
    assert (ROOT / module).is_file()


@pytest.mark.parametrize("server", SHARED)
def test_each_shared_server_is_a_fixture(server: str) -> None:
    assert f"def {server}(" in (ROOT / "tests" / "conftest.py").read_text()


def test_what_takes_long_is_first_and_the_tests_of_a_server_are_neighbours() -> None:
    def test(name: str, *fixtures: str) -> Any:
        return SimpleNamespace(nodeid=name, fixturenames=fixtures)

    tests = [
        test("a"),
        test("b", SHARED[0], "tmp_path"),
        test("c", SHARED[1]),
        test("d", SHARED[0]),
        test("e"),
        test(f"{LONG[0]}::x", SHARED[1]),
    ]
    found = [each.nodeid for each in sorted(tests, key=place)]
    assert found == [f"{LONG[0]}::x", "b", "d", "c", "a", "e"]
