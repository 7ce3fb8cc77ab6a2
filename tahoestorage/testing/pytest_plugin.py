"""The fixture `tahoe_grid` for pytest. It imports nothing heavy until it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tahoestorage.testing.grid import LocalGrid


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "tahoe_executable",
        "The tahoe that the fixture tahoe_grid runs, if it is in another environment.",
    )


@pytest.fixture(scope="session")
def tahoe_grid(pytestconfig: pytest.Config) -> Iterator[LocalGrid]:
    """A private Tahoe-LAFS grid of one node, running until the tests are over.

    Each test that writes to it had best make a root of its own::

        def test_upload(tahoe_grid):
            root = tahoe_grid.create_root()
            storage = TahoeStorage(base_url=tahoe_grid.base_url, base_cap=root.uri)
    """
    from tahoestorage.testing.grid import LocalGrid

    with LocalGrid(tahoe=pytestconfig.getini("tahoe_executable") or None) as grid:
        yield grid
