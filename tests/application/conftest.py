"""What the tests of the application share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.application.postgres import Postgres
from tests.application.postgres import running as running_postgres
from tests.support.browser import ARGUMENTS, CHROMIUM

if TYPE_CHECKING:
    from tests.application.callers import Callers


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server; a test makes itself a database there."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    expect.set_options(timeout=30_000)  # milliseconds; only an error takes so long
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture
def callers(db: None) -> Callers:
    """One caller of each kind, with an object; tests.application.callers has them."""
    from tests.application.callers import make_callers

    return make_callers()
