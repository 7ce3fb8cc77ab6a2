"""Writers of one name at the same moment, and long lists, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
import requests

from tests.application.postgres import Postgres
from tests.application.site import Environment, Site, bare_environment, manage, served

WRITERS = 12
ROWS = 5000


@pytest.fixture(scope="module")
def url(postgres_tables: Callable[[], str]) -> str:
    return postgres_tables()


@pytest.fixture(scope="module")
def environment(url: str, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = bare_environment(tmp_path_factory.mktemp("writers")) | {
        "DATABASE_URL": url
    }
    # Several threads in one process, as a container has them.
    environment["GUNICORN_CMD_ARGS"] = "--workers=1 --threads=8"
    manage(
        environment,
        "createsupertenant",
        "--no-input",
        "--tenant=Acme",
        "--username=ann",
        "--email=ann@example.org",
    )
    return environment


def together(write: Callable[[int], requests.Response]) -> list[requests.Response]:
    """Let all writers begin at one moment; return the response to each."""
    start = threading.Barrier(WRITERS)

    def one(number: int) -> requests.Response:
        start.wait(60)
        return write(number)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(one, range(WRITERS)))


def ask(site: Site, environment: Environment) -> Callable[..., requests.Response]:
    tokens = json.loads(manage(environment, "createusertoken", "ann"))
    headers = {"Authorization": f"Bearer {tokens['access']}"}

    def send(method: str, path: str, **more: Any) -> requests.Response:
        more["headers"] = headers | more.get("headers", {})
        return requests.request(
            method, f"{site.address}/api/v1/{path}", timeout=120, **more
        )

    return send


def test_all_writers_of_one_name_succeed_as_versions(
    environment: Environment, tmp_path: Path
) -> None:
    contents = [os.urandom(5000) for _ in range(WRITERS)]
    with served(environment, tmp_path / "site.log") as site:
        send = ask(site, environment)
        responses = together(
            lambda number: send("PUT", "content/shared.bin", data=contents[number])
        )
        statuses = {response.status_code for response in responses}
        assert statuses <= {200, 201}, site.log.read_text()
        (found,) = send("GET", "objects/?name=shared.bin").json()["results"]
        versions = send("GET", f"objects/{found['id']}/versions/").json()["results"]
        kept = [
            send("GET", f"objects/{found['id']}/versions/{one['number']}/content/")
            for one in versions
        ]
        usage = send("GET", "usage/").json()

    # The tenant keeps ten; each of them is whole, and one of those that were sent.
    assert len(versions) == 10
    assert found["version"] == WRITERS == versions[0]["number"]
    assert len({one.content for one in kept}) == 10
    assert {one.content for one in kept} <= set(contents)
    # The bytes of the others stay for a day.
    assert (usage["used_bytes"], usage["used_objects"]) == (WRITERS * 5000, 1)
    assert (usage["reserved_bytes"], usage["reserved_objects"]) == (0, 0)


def test_of_writers_with_a_condition_one_succeeds(
    environment: Environment, tmp_path: Path
) -> None:
    with served(environment, tmp_path / "site.log") as site:
        send = ask(site, environment)
        created = together(
            lambda number: send(
                "PUT",
                "content/first.bin",
                data=b"%d" % number,
                headers={"If-None-Match": "*"},
            )
        )
        (first,) = [one for one in created if one.status_code != 412]
        assert first.status_code == 201, (first.text, site.log.read_text())
        etag = first.headers["ETag"]
        changed = together(
            lambda number: send(
                "PUT",
                "content/first.bin",
                data=b"%d" % number,
                headers={"If-Match": etag},
            )
        )
        once = together(
            lambda number: send(
                "PUT",
                "content/once.bin",
                data=b"the same",
                headers={"Idempotency-Key": "k"},
            )
        )

    for responses, status in ((created, 201), (changed, 200)):
        statuses = sorted(response.status_code for response in responses)
        assert statuses == [status] + [412] * (WRITERS - 1)
    # A repeat that comes while the first is under way is told so.
    assert {response.status_code for response in once} <= {201, 409}
    assert {response.json()["version"] for response in once if response.ok} == {1}


IS_WAITED_FOR = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
)
"""


RENAMED = ("UPDATE accounts_tenantgroup SET label = 'Authors' WHERE group_ptr_id = %s",)
REMOVED = (
    "DELETE FROM accounts_tenantgroup WHERE group_ptr_id = %s",
    "DELETE FROM auth_group WHERE id = %s",
)


def meanwhile(
    url: str,
    statements: tuple[LiteralString, ...],
    pk: int,
    request: Callable[[], requests.Response],
) -> requests.Response:
    """Change a row; commit that once the request waits for it, and return its response.

    The request has read by then what it reads without a lock.
    """
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as pool:
        for statement in statements:
            assert other.execute(statement, [pk]).rowcount == 1
        sent = pool.submit(request)
        deadline = time.monotonic() + 60
        while other.execute(IS_WAITED_FOR).fetchone() != (True,):
            assert time.monotonic() < deadline
            assert not sent.done()
            time.sleep(0.02)
        other.commit()
        return sent.result()


def test_a_group_is_changed_as_it_is_by_then(
    environment: Environment, url: str, tmp_path: Path
) -> None:
    with served(environment, tmp_path / "site.log") as site:
        send = ask(site, environment)
        pk = send("POST", "groups/", json={"name": "Writers"}).json()["id"]

        def change() -> requests.Response:
            return send("PATCH", f"groups/{pk}/", json={"members": []})

        changed = meanwhile(url, RENAMED, pk, change)
        gone = meanwhile(url, REMOVED, pk, change)
        left = send("GET", "groups/").json()["results"]

    assert (changed.status_code, changed.json()["name"]) == (200, "Authors")
    assert (gone.status_code, left) == (404, [])


@pytest.mark.parametrize("order", ["-created_at", "size"])
def test_a_page_far_down_reads_a_page_of_rows(
    environment: Environment, url: str, postgres: Postgres, order: str
) -> None:
    # The query of a page, as the site asks it, explained by the database.
    code = f"""
import json
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIRequestFactory
from api.paging import Pages, Cursor
from accounts.models import Tenant
from objects.models import StoredObject
from rest_framework.request import Request

tenant = Tenant.objects.first()
if StoredObject.objects.count() < {ROWS}:
    StoredObject.objects.bulk_create(
        [
            StoredObject(tenant=tenant, folder=str(n), name=f"n{{n % 7}}", size=n % 5)
            for n in range({ROWS})
        ]
    )
    connection.cursor().execute("ANALYZE")

class View:
    ordering_fields = ("name", "size", "created_at")

rows = StoredObject.objects.filter(tenant=tenant, deleted_at=None)
name = "{order}".lstrip("-")
last = rows.order_by("{order}", ("-" if "{order}" < "a" else "") + "pk")
last = last[{ROWS} - 500]
pages = Pages()
pages._order, pages._url = "{order}", "http://x/"
from urllib.parse import urlsplit, parse_qs
link = pages._link(last, backward=False)
request = Request(APIRequestFactory().get(link, {{
    "ordering": "{order}", "cursor": parse_qs(urlsplit(link).query)["cursor"][0]}},
    SERVER_NAME="127.0.0.1"))
with CaptureQueriesContext(connection) as queries:
    assert len(Pages().paginate_queryset(rows, request, View())) == 100
sql = queries[-1]["sql"]
with connection.cursor() as cursor:
    cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql)
    plan = cursor.fetchone()[0][0]["Plan"]

def read(node):
    below = node.get("Plans", [])
    if below:
        return sum(map(read, below))
    gone = node.get("Rows Removed by Filter", 0)
    return (node["Actual Rows"] + gone) * node["Actual Loops"]

print(json.dumps([read(plan), plan]))
"""
    read, plan = json.loads(
        manage(environment, "shell", "--no-imports", "-c", code).splitlines()[-1]
    )
    assert read <= 300, plan
