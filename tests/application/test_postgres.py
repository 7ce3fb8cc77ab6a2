"""The application's tables on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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


LOOK = """
EXPLAIN SELECT * FROM {table} WHERE store = 'default' AND key LIKE 'tenants/7/8f/%'
"""


@pytest.mark.parametrize("table", ["objects_version", "objects_copy"])
def test_a_directory_s_rows_are_found_by_an_index(
    postgres: Postgres, postgres_tables: Callable[[], str], table: str
) -> None:
    with postgres.connect(postgres_tables().rpartition("/")[2]) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = str(connection.execute(LOOK.format(table=table)).fetchall())

    # By the whole beginning, and not by the store alone.
    assert "~>=~ 'tenants/7/8f/'" in plan.replace("\\", "").replace("''", "'")


NAMES = """
import json, random
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from rest_framework.test import APIClient
from accounts.models import Tenant, User
user = User.objects.create_user("ann", tenant=Tenant.objects.create(name="A", slug="a"))
api = APIClient()
api.force_authenticate(user)
letters = random.Random(1)  # What does not repeat is not packed by the database.
def part(count):
    return "".join(chr(letters.randrange(0x20000, 0x2A000)) for _ in range(count))
def put(parts):
    folder = "/".join(part(63) for _ in range(parts))
    path = f"/api/v1/content/{folder}/{part(63)}"
    made = api.put(path, b"x", content_type="text/plain")
    return made.status_code, len(folder.encode()), made.json().get("detail")
print(json.dumps([put(4), put(10)]))
"""


def test_the_longest_names_are_kept_and_longer_ones_refused(
    postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    environment = bare_environment(tmp_path) | {
        "DATABASE_URL": postgres_tables(),
        "STORAGE_URL": (tmp_path / "store").as_uri(),
    }

    told = manage(environment, "shell", "--no-imports", "-c", NAMES)

    longest, longer = json.loads(told.strip().splitlines()[-1])
    assert longest[:2] == [201, 1011]
    assert longer == [
        400,
        2529,
        "A folder has at most 700 characters and 1024 bytes.",
    ]


KEPT = """
import json, os
import psycopg
from django.core.signals import request_finished, request_started
from django.db import connection
def ask():
    request_started.send(None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    request_finished.send(None)
    return pid
url = os.environ["DATABASE_URL"]
first, again = ask(), ask()
with psycopg.connect(url, autocommit=True) as other:
    connection.health_check_done = False
    connection.close_if_health_check_failed()
    last = other.execute(
        "SELECT query FROM pg_stat_activity WHERE pid = %s", [first]
    ).fetchone()
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
print(json.dumps([first == again, last[0], first == ask()]))
"""


def test_a_kept_connection_is_asked_for_nothing_and_made_anew_where_it_ended(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.make_database()
    environment = bare_environment(tmp_path) | {"DATABASE_URL": url}

    told = manage(environment, "shell", "--no-imports", "-c", KEPT)

    is_kept, last, is_same = json.loads(told.strip().splitlines()[-1])
    assert is_kept
    assert last == "SELECT pg_backend_pid()"
    assert not is_same
