"""Statements that PostgreSQL plans once for a connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environ
import pytest
from django.db import NotSupportedError
from django.db.utils import ConnectionHandler

from tests.application.postgres import Postgres
from tests.application.site import bare_environment, manage

# Connections are made by hand: pytest-django refuses them without this.
pytestmark = pytest.mark.django_db
OF = "SELECT name FROM kept WHERE number = %s"
Connect = Callable[[str], Any]


@pytest.fixture
def connect(postgres: Postgres) -> Iterator[Connect]:
    """Return what connects to a database that has a table, as the site does."""
    url = postgres.make_database()
    with postgres.connect(url.rpartition("/")[2]) as owner:
        owner.execute("CREATE TABLE kept (number integer, name varchar(5))")
        owner.execute("INSERT INTO kept VALUES (1, 'one'), (2, 'two')")
    made = []

    def connect(options: str) -> Any:
        config = environ.Env.db_url_config(url + options)
        databases: Any = {"default": config | {"ENGINE": "config.postgresql"}}
        made.append(ConnectionHandler(databases)["default"])
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def ask(cursor: Any, number: int) -> Any:
    with cursor:
        cursor.execute(OF, [number])
        return cursor.fetchone()[0]


def planned(connection: Any) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_a_statement_is_planned_once_for_all_values(connect: Connect) -> None:
    connection = connect("")

    for _ in range(10):
        assert ask(connection.cursor(), 1) == "one"
    assert planned(connection) == []

    assert [ask(connection.prepared_cursor(), n) for n in (1, 2)] == ["one", "two"]
    assert planned(connection) == [OF.replace("%s", "$1")]


def test_a_pooler_of_transactions_is_asked_to_keep_nothing(connect: Connect) -> None:
    connection = connect("?DISABLE_SERVER_SIDE_CURSORS=1")

    assert [ask(connection.prepared_cursor(), n) for n in (1, 2)] == ["one", "two"]
    assert planned(connection) == []


@pytest.mark.parametrize("within", [False, True], ids=["alone", "in a transaction"])
def test_what_was_planned_before_a_migration_is_planned_anew(
    connect: Connect, within: bool
) -> None:
    connection = connect("")
    assert ask(connection.prepared_cursor(), 1) == "one"
    with connect("").cursor() as migration:
        migration.execute("ALTER TABLE kept ALTER name TYPE varchar(9)")

    if within:
        connection.set_autocommit(False)
        with pytest.raises(NotSupportedError):
            ask(connection.prepared_cursor(), 1)
        connection.rollback()

    assert ask(connection.prepared_cursor(), 2) == "two"


PUT = """
import json
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.db import connection
from rest_framework.test import APIClient
from accounts.models import Tenant, User
user = User.objects.create_user("ann", tenant=Tenant.objects.create(name="A", slug="a"))
api = APIClient()
api.force_authenticate(user)
for name in "ab":
    made = api.put(f"/api/v1/content/{name}", b"x", content_type="text/plain")
    assert made.status_code == 201, made.content
with connection.cursor() as cursor:
    cursor.execute("SELECT statement FROM pg_prepared_statements")
    print(json.dumps([statement for (statement,) in cursor.fetchall()]))
"""


def test_an_upload_has_all_planned_once_but_what_depends_on_the_path(
    postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    environment = bare_environment(tmp_path) | {
        "DATABASE_URL": postgres_tables(),
        "STORAGE_URL": (tmp_path / "store").as_uri(),
    }

    told = manage(environment, "shell", "--no-imports", "-c", PUT)

    statements = json.loads(told.strip().splitlines()[-1])
    assert len(statements) == len(set(statements)) > 10
    # By an index, for the start of a path that is known when it is planned.
    assert not [each for each in statements if "LIKE" in each]
