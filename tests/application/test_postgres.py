"""The application's tables on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
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
