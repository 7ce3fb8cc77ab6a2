"""What the tests of the application share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser

from tests.application.browser import MakePage, opening_pages
from tests.application.once import share
from tests.application.postgres import TABLES, Postgres
from tests.application.postgres import running as running_postgres
from tests.support.browser import running_chromium

if TYPE_CHECKING:
    from accounts.models import User
    from tests.application.callers import Callers


@pytest.fixture(scope="session", autouse=True)
def made_once(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All workers of this run find what was made once in one folder."""
    folder = tmp_path_factory.getbasetemp()
    # A worker of xdist has a folder within the run's.
    is_worker = hasattr(request.config, "workerinput")
    share(folder.parent if is_worker else folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server; a test makes itself a database there."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tables(postgres: Postgres) -> Callable[[], str]:
    """Makes a database in which the application's tables are, and returns its URL."""
    return lambda: postgres.make_database(TABLES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def user(db: None) -> User:
    """Somebody of a tenant without limits."""
    from accounts.models import Tenant, User

    tenant = Tenant.objects.create(name="Acme", slug="acme")
    return User.objects.create_user("ann", password="secret", tenant=tenant)


@pytest.fixture
def own_store(settings: Any) -> None:
    """A store without what other tests have left: a sweep would find it."""
    settings.STORAGES = dict(settings.STORAGES)


@pytest.fixture
def three_stores(settings: Any) -> None:
    """Stores of the aliases default, cold and own; the last takes no exports."""
    default, static = (settings.STORAGES[name] for name in ("default", "staticfiles"))
    settings.STORAGES = {
        **dict.fromkeys(("default", "cold", "own"), default),
        "staticfiles": static,
    }
    settings.EXPORT_STORES = ["default", "cold"]


@pytest.fixture
def callers(db: None) -> Callers:
    """One caller of each kind, with an object; tests.application.callers has them."""
    from tests.application.callers import make_callers

    return make_callers()


@pytest.fixture(autouse=True)
def no_counts() -> Iterator[None]:
    """Attempts that other tests made are forgotten, and failures that they had."""
    from django.core.cache import cache

    from pages import failures

    yield
    cache.clear()
    failures._noted.clear()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[MakePage]:
    """Opens pages: ``browser_page(address, theme="dark", width=PHONE)``."""
    with opening_pages(browser) as make:
        yield make
