"""What the tests of the application share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser

from tests.application.postgres import Postgres
from tests.application.postgres import running as running_postgres
from tests.support.browser import running_chromium

if TYPE_CHECKING:
    from tests.application.callers import Callers


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server; a test makes itself a database there."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def callers(db: None) -> Callers:
    """One caller of each kind, with an object; tests.application.callers has them."""
    from tests.application.callers import make_callers

    return make_callers()


@pytest.fixture(autouse=True)
def no_counts() -> Iterator[None]:
    """Attempts that other tests made are forgotten."""
    from django.core.cache import cache

    yield
    cache.clear()
