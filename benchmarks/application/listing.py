"""A list of 100,000 objects, page by page, on PostgreSQL; and one with links, warm.

The figures of long lists are this benchmark: the queries of a page, and how long the
last one takes beside the first, in each order. That links ask no store is a test
(``tests/application/test_objects.py``).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import django

from benchmarks.rows import Row, at_most, best_of_each

ROUNDS = 15
ORDERS = ("-created_at", "size", "name", "updated_at")
QUERIES = 5
"""Of the database, for a page."""


def main(arguments: Sequence[str]) -> int:
    """Print how last pages compare with first ones, and links with none; 0 if met."""
    parser = argparse.ArgumentParser(prog="listing", description=__doc__)
    parser.add_argument(
        "--objects", type=int, default=100_000, help="how many, %(default)s"
    )
    count = parser.parse_args(arguments).objects
    from tests.application.postgres import running
    from tests.application.site import bare_environment, manage

    with tempfile.TemporaryDirectory() as work, running() as postgres:
        url = postgres.make_database()
        environment = bare_environment(Path(work)) | {"DATABASE_URL": url}
        manage(environment, "migrate", "--verbosity=0")
        os.environ.update(environment)
        os.environ["STORAGE_URL"] = "memory://"
        os.environ["ALLOWED_HOSTS"] = "testserver"
        django.setup()
        rows = measure(count)
        django.db.connections.close_all()
    for row in rows:
        print(
            f"{row.label:<40} {row.value:5.2f} {row.unit}  must be {row.bound}  "
            f"{'met' if row.met else 'MISSED'}  {row.beside}"
        )
    return 0 if all(row.met for row in rows) else 1


def measure(count: int) -> list[Row]:
    """Return the figures of an administrator's list, and of a user's with grants."""
    from django.db import connection

    from accounts.models import Tenant, User
    from objects.keys import key_of
    from objects.models import StoredObject, UserPermission, Version
    from tests.application.callers import client_of

    tenant = Tenant.objects.create(name="Acme", slug="acme")
    ann = User.objects.create_user("ann", tenant=tenant, is_administrator=True)
    bob = User.objects.create_user("bob", tenant=tenant)
    made = [
        StoredObject(tenant=tenant, folder=f"f{n % 97}", name=f"{n}", size=n % 1000)
        for n in range(count)
    ]
    StoredObject.objects.bulk_create(made, 5000)
    versions = [
        Version(object=one, number=1, size=one.size, state="stored", store="default")
        for one in made
    ]
    for one in versions:
        one.key = key_of(one)
    Version.objects.bulk_create(versions, 5000)
    for found, version in zip(made, versions, strict=True):
        found.current = version
    StoredObject.objects.bulk_update(made, ["current"], 5000)
    from django.contrib.auth.models import Permission

    edit = Permission.objects.get(codename="edit_object")
    UserPermission.objects.bulk_create(
        [UserPermission(user=bob, permission=edit, content_object=o) for o in made],
        5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    rows = []
    for user in (ann, bob):
        api = client_of(user)
        for order in ORDERS:
            url = f"/api/v1/objects/?ordering={order}"
            last = far_down(api, url)
            asked = max(queries_of(api, page) for page in (url, last))
            label = f"queries by {order}, {user.username}"
            rows.append(at_most(label, asked, "", QUERIES))
            rows.append(
                compared(
                    api,
                    f"last page by {order}, {user.username}",
                    (url, last),
                    bound=1.5,
                )
            )
    plain = "/api/v1/objects/"
    with_links = (plain, f"{plain}?links=true")
    rows.append(compared(client_of(ann), "100 objects with links", with_links, bound=3))
    return rows


def compared(api: Any, label: str, urls: tuple[str, str], *, bound: float) -> Row:
    """Return how many times as long as the first address the second one takes."""

    def asking(url: str) -> Callable[[], object]:
        return lambda: api.get(url).json()["results"]

    best = best_of_each({url: asking(url) for url in urls}, rounds=ROUNDS)
    first, second = (best[url] for url in urls)
    beside = f"{first * 1000:.1f} ms and {second * 1000:.1f} ms"
    return at_most(label, second / first, "x", bound, beside)


def queries_of(api: Any, url: str) -> int:
    """Return how many queries a page takes."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as asked:
        api.get(url).json()
    return len(asked)


def far_down(api: Any, url: str) -> str:
    """Return the address of the last page, by way of all of them."""
    here, following = url, f"{url}&limit=1000"
    while following:
        here, following = following, api.get(following).json()["next"]
    return here.replace("limit=1000", "limit=100")
