"""What pages of files have the database go through: the plans of their queries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from objects import granting
from objects.access import Access
from objects.grants import grant
from objects.models import Version
from pages import listing, usage
from pages.listing import ListedFolder
from tests.application.stores import put
from tests.application.test_pages import browser_of

pytestmark = pytest.mark.django_db
FOLDERS = ("", "b", "b/c", "d/e/f")


@pytest.fixture
def guest(user: User) -> User:
    """Who sees some files of each folder by grants, and none of the folder `hidden`."""
    guest = User.objects.create_user("guest", tenant=user.tenant)
    for folder in FOLDERS:
        put(user, b"hidden", "hidden.txt", folder)
        found = put(user, b"seen", "seen.txt", folder).object
        grant(found, guest, Access.VIEW, actor=user)
    for number in range(12):
        found = put(user, b"seen", f"{number}.txt", "b").object
        grant(found, guest, Access.VIEW, actor=user)
    put(user, b"hidden", "hidden.txt", "hidden")
    return guest


def plans(user: User, url: str) -> list[tuple[str, list[str]]]:
    """Return the queries about objects by which the page is made, and their plans."""
    browser = browser_of(user)
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(url).status_code == 200
    asked = [query["sql"] for query in captured.captured_queries]
    found = []
    for sql in asked:
        if sql.startswith("SELECT") and "objects_" in sql:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                found.append((sql, [row[3] for row in cursor.fetchall()]))
    return found


@pytest.mark.parametrize("folder", ["", "b", "d/e"])
def test_grants_are_looked_up_for_the_objects_of_a_folder_alone(
    guest: User, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(granting, "MANY", len(FOLDERS))

    found = plans(guest, f"/files/?folder={folder}")

    assert len(found) >= 3
    for sql, plan in found:
        assert not any(line.startswith("SCAN") for line in plan), (sql, plan)
        granted = [line for line in plan if "permission_user_id_permission" in line]
        if "OFFSET" not in sql:  # Whether there are many grants.
            assert all("content_object_id=?" in line for line in granted), (sql, plan)
    # What may be done to the page's objects is asked of them, by their keys.
    keys = [plan for sql, plan in found if '"objects_storedobject"."id" IN (' in sql]
    assert all("(id=?)" in plan[0] for plan in keys), keys
    assert len(keys) == (0 if folder == "d/e" else 2)


def test_the_page_of_usage_goes_through_the_tenants_objects_twice(guest: User) -> None:
    found = plans(guest, "/usage/")

    # And once more by the index of those that were deleted, or of the tenant.
    assert len(found) == 3
    for sql, plan in found:
        assert not any(line.startswith("SCAN") for line in plan), (sql, plan)
        # Those are functions in Python, which SQLite calls for each row.
        assert "django_" not in sql.replace("django_content_type", ""), sql


def test_folders_are_those_with_something_that_is_seen(
    guest: User, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for many in (1, 1000):
        monkeypatch.setattr(granting, "MANY", many)
        assert listing.folders(guest, ListedFolder()) == ["b", "d"]
        assert listing.folders(guest, ListedFolder("b")) == ["c"]
        assert listing.folders(guest, ListedFolder("d")) == ["e"]
        assert listing.folders(guest, ListedFolder("d/e/f")) == []
    assert "hidden" in listing.folders(user, ListedFolder())


def test_no_more_folders_are_told_than_are_shown(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_FOLDERS", 2)
    for number in range(4):
        put(user, b"x", "a", f"{number}/deep")

    assert listing.folders(user, ListedFolder()) == ["0", "1", "2"]


def test_each_version_is_counted_on_its_own_day(user: User) -> None:
    first = put(user, b"x" * 50)
    Version.objects.filter(pk=first.pk).update(
        created_at=timezone.now() - timedelta(days=2)
    )
    put(user, b"x" * 100)

    days = usage.by_day(user)

    assert [day.bytes for day in days[-3:]] == [50, 0, 100]


def test_folders_and_types_are_summed_over_each_other(user: User) -> None:
    for folder, name, size in (("a", "1", 1), ("a/b", "2", 2), ("", "3", 4)):
        put(user, b"x" * size, name, folder)

    folders, types = usage.by_folder_and_type(listing.seen(user))

    assert [(row.folder, row.bytes, row.objects) for row in folders] == [
        ("", 4, 1),
        ("a", 3, 2),
    ]
    assert [(row.bytes, row.objects) for row in types] == [(7, 3)]
