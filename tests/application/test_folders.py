"""What is in a folder or below it: the same on every database, capitals told apart."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from exports import sources
from objects import access, finding
from objects.models import StoredObject
from pages import listing
from pages.listing import ListedFolder
from tests.application.callers import client_of
from tests.application.stores import put

pytestmark = pytest.mark.django_db
FOLDERS = ("photos", "photos/2026", "photos 2", "Photos", "PHOTOS/2026", "ph%tos/x")
BELOW = {"photos", "photos/2026"}


@pytest.fixture(autouse=True)
def stored(user: User) -> None:
    for folder in FOLDERS:
        put(user, b"x", "plan.txt", folder)


def folders_of(objects: Any) -> set[str]:
    return {one.folder for one in objects}


def test_an_export_has_what_is_below_its_folder_alone(user: User) -> None:
    source = sources.of_folder(access.visible(user), "photos")

    assert sorted(one.path for one in source.files) == ["2026/plan.txt", "plan.txt"]


def test_a_search_within_a_folder_stays_there(user: User) -> None:
    found = listing.objects_in(user, ListedFolder("photos", search="plan"))

    assert folders_of(found) == BELOW


def test_the_folders_in_a_folder_are_its_own(user: User) -> None:
    put(user, b"x", "plan.txt", "PHOTOS/2027")

    assert listing.folders(user, ListedFolder("photos")) == ["2026"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("photos/", {"photos/2026"}),
        ("photos", {*BELOW, "photos 2"}),
        ("ph%", {"ph%tos/x"}),
        ("Ph", {"Photos"}),
        ("", set(FOLDERS)),
    ],
)
def test_the_api_finds_folders_by_their_start(
    user: User, start: str, expected: set[str]
) -> None:
    url = "/api/v1/objects/"

    found = client_of(user).get(url, {"folder__startswith": start}).json()["results"]

    assert {one["folder"] for one in found} == expected


def test_an_index_finds_them(user: User) -> None:
    if connection.vendor != "sqlite":
        return  # PostgreSQL takes one by the size of the table.
    objects = StoredObject.objects.filter(
        finding.starts_with("photos/"), tenant=user.tenant, deleted_at=None
    )

    plan = objects.order_by().explain()

    assert "folder>? AND folder<?" in plan
