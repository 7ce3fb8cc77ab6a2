"""What tests of several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support import orphans
from tests.support.checked_sites import make_site, quick_check
from tests.support.commands import Made
from tests.support.moves import Add
from tests.support.s3_servers import S3Server


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let ``storage_orphans`` believe that so many seconds have passed."""
    return orphans.clock(monkeypatch)


@pytest.fixture
def make(add: Add, settings: Settings, moto: S3Server) -> Add:
    """Make a storage of a kind, with an alias."""
    return orphans.adding(add, settings, moto)


@pytest.fixture
def grid(four_servers: LocalGrid) -> LocalGrid:
    """Four servers, 2-of-4, segments of 1 MiB, that come back within seconds."""
    return four_servers


@pytest.fixture
def checked_site(grid: LocalGrid, settings: Settings) -> TahoeStorage:
    """A site whose files no other test has: equal content would have equal shares."""
    return make_site(grid, settings)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    """Run ``tahoe_check``, with its record in a folder of the test."""
    return quick_check(tmp_path, monkeypatch)
