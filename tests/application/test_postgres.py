"""The application's tables on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from tests.application.postgres import Postgres
from tests.application.site import bare_environment, manage


def test_the_tables_are_made_on_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.make_database()
    environment = bare_environment(tmp_path) | {"DATABASE_URL": url}

    manage(environment, "migrate", "--verbosity=0")

    manage(environment, "migrate", "--check")
    with postgres.connect(url.rpartition("/")[2]) as connection:
        found = connection.execute("SELECT count(*) FROM objects_version").fetchone()
    assert found == (0,)
