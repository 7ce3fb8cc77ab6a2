"""Lists page by page: every row once, in every order, and by few queries."""

from __future__ import annotations

import random
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import Tenant, User
from objects import names
from objects.models import StoredObject
from tests.application.callers import client_of
from tests.application.site import EXAMPLE

pytestmark = pytest.mark.django_db

LIST = "/api/v1/objects/"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ORDERS = ("name", "size", "created_at", "updated_at")
QUERIES = 5  # the figure: at most, for a page


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def api(tenant: Tenant) -> APIClient:
    return client_of(
        User.objects.create_user("ann", tenant=tenant, is_administrator=True)
    )


def make(tenant: Tenant, count: int, **fields: Any) -> None:
    """Make so many objects without content, all of one time unless told otherwise."""
    made = [
        StoredObject(tenant=tenant, folder=f"{number:06}", name="equal", **fields)
        for number in range(count)
    ]
    StoredObject.objects.bulk_create(made, 1000)
    StoredObject.objects.update(created_at=NOON, updated_at=NOON)


def pages(
    api: APIClient, towards: str = "next", **parameters: Any
) -> Iterator[list[Any]]:
    """Yield the rows of each page, until there is no further one."""
    response = api.get(LIST, parameters)
    while True:
        assert response.status_code == 200, response.content
        page = response.json()
        yield page["results"]
        if page[towards] is None:
            return
        url = urlsplit(page[towards])
        response = api.get(f"{url.path}?{url.query}")


def test_5000_equal_rows_come_once_each(api: APIClient, tenant: Tenant) -> None:
    make(tenant, 5000)

    found = [row["id"] for page in pages(api, limit=1000) for row in page]

    assert len(found) == len(set(found)) == 5000


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sign", ["", "-"])
def test_every_order_gives_each_row_once_both_ways(
    api: APIClient, tenant: Tenant, order: str, sign: str
) -> None:
    make(tenant, 60)
    chance = random.Random(order)
    for row in StoredObject.objects.all():
        row.size = chance.choice([0, 7, 2**62])
        row.name = chance.choice(["a", "b", "Ü", "𝄞"])
        row.save()
        # Some times have no fraction of a second, others differ in it only.
        later = timedelta(microseconds=chance.choice([0, 1, 500_000, 1_000_000]))
        times = {"created_at": NOON + later, "updated_at": NOON - later}
        StoredObject.objects.filter(pk=row.pk).update(**times)
    expected = [
        str(pk)
        for pk in StoredObject.objects.order_by(f"{sign}{order}", f"{sign}pk")
        .values_list("pk", flat=True)
        .all()
    ]

    there = list(pages(api, ordering=f"{sign}{order}", limit=7))
    assert [row["id"] for page in there for row in page] == expected

    # From the last page back to the first: the same pages.
    response = api.get(LIST, {"ordering": f"{sign}{order}", "limit": 7})
    back = [response.json()]
    while back[-1]["next"]:
        back.append(api.get(back[-1]["next"]).json())
    last = back[-1]
    found = [last["results"]]
    while last["previous"]:
        last = api.get(last["previous"]).json()
        found.append(last["results"])
    assert found[::-1] == there


def test_a_page_costs_few_queries_and_as_many_at_the_end(
    api: APIClient, tenant: Tenant
) -> None:
    make(tenant, 300)
    counts = []
    url: str | None = f"{LIST}?limit=100"
    while url:
        with CaptureQueriesContext(connection) as queries:
            url = api.get(url).json()["next"]
        counts.append(len(queries))

    assert len(counts) == 3
    assert max(counts) <= QUERIES
    assert counts[-1] <= counts[0]


def test_rows_that_came_between_are_neither_missed_nor_doubled(
    api: APIClient, tenant: Tenant
) -> None:
    make(tenant, 20)
    there = {str(pk) for pk in StoredObject.objects.values_list("pk", flat=True)}
    found: list[str] = []
    for page in pages(api, limit=6):
        found += [row["id"] for row in page]
        StoredObject.objects.create(tenant=tenant, folder=str(len(found)), name="new")
        if len(found) == 6:
            StoredObject.objects.filter(pk=found[0]).delete()

    assert len(found) == len(set(found))
    assert there <= set(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1001"),
        ("limit", "9" * 5000),
        ("limit", "²"),
        ("limit", "x"),
        ("ordering", "password"),
        ("ordering", "owner__password"),
        ("ordering", "name,size"),
        ("ordering", "--name"),
        ("ordering", "name\0"),
        ("cursor", "x"),
        ("cursor", "a\0b"),
        ("cursor", "é:é:é"),
        ("cursor", "." * 9000),
        # It has the time in it, and workers must agree on a test's name.
        pytest.param(
            "cursor",
            signing.dumps(["-created_at", False, "2026", "x"]),
            id="cursor-signed",
        ),
        ("size__gte", "x"),
        ("size__gte", "9" * 400),
        ("created_at__gte", "yesterday"),
        ("folder", "a\0"),
        ("search", "a\0b"),
        ("owner", "nobody"),
        ("owner", "9" * 40),
    ],
)
def test_a_hostile_parameter_is_refused(api: APIClient, name: str, value: str) -> None:
    response = api.get(LIST, {name: value})

    assert response.status_code == 400, response.content
    problem = response.json()
    assert problem["status"] == 400
    if name != "search":
        assert name in problem["errors"]


def test_a_cursor_is_good_for_its_own_order_only(
    api: APIClient, tenant: Tenant
) -> None:
    make(tenant, 3)
    following = api.get(LIST, {"limit": 1, "ordering": "name"}).json()["next"]

    response = api.get(following.replace("ordering=name", "ordering=size"))

    assert response.status_code == 400


def test_the_server_takes_the_longest_link_to_a_next_page(
    api: APIClient, tenant: Tenant
) -> None:
    folder = names.clean_folder("/".join(["ж" * 127, "ж" * 127, "ж" * 127, "ж" * 126]))
    assert len(folder.encode()) > names.MAX_FOLDER_BYTES - 10
    emoji = [chr(0x1F600 + number % 80) for number in range(62)]
    for number in range(2):
        name = names.clean_name(f"{number}{''.join(emoji)}")
        StoredObject.objects.create(tenant=tenant, folder=folder, name=name)
    asked = {"folder": folder, "folder__startswith": folder}

    page = api.get(LIST, asked | {"ordering": "name", "limit": 1}).json()

    link = urlsplit(page["next"])
    line = f"GET {link.path}?{link.query} HTTP/1.1\r\n"
    most = runpy.run_path(str(EXAMPLE / "gunicorn.conf.py"))["limit_request_line"]
    assert 4094 < len(line) <= most <= 8190
    assert len(api.get(page["next"]).json()["results"]) == 1
