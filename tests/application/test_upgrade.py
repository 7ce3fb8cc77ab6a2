"""Installations from before there were tenants: `migrate` loses nothing of theirs.

before/ has the example's database as version 0.2 left it, with a few rows: made by its
own migrations, and dumped.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.application.postgres import Postgres
from tests.application.site import Environment, bare_environment, manage

BEFORE = Path(__file__).parent / "before"
LOOK = """
import json
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.auth.models import Permission
from accounts.models import Tenant, User
from events.models import Event
users = User.objects.order_by("pk")
print(json.dumps({
    "tenants": list(Tenant.objects.values_list("name", "is_super")),
    "users": [
        [u.pk, u.username, u.email, u.is_active, u.is_staff, u.is_superuser,
         u.is_administrator, u.tenant.name, u.check_password("of-the-tests"),
         sorted(u.get_all_permissions()) if not u.is_superuser else [],
         [g.name for g in u.groups.all()], u.date_joined.isoformat()]
        for u in users
    ],
    "log": [
        [e.user.username, e.content_type.app_label, str(e.get_edited_object()),
         e.get_admin_url()]
        for e in LogEntry.objects.order_by("pk")
    ],
    "events": [
        [e.tenant.name, e.name, [[s.title, s.slides.name, [p.name for p in
         s.speakers.all()]] for s in e.sessions.all()]] for e in Event.objects.all()
    ],
    "types": ContentType.objects.filter(model="user").count(),
    "permissions": Permission.objects.filter(codename="change_user").count(),
}))
"""
WRITE = """
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Permission
from accounts.models import Tenant, TenantGroup, User
from accounts.tokens import describe
tenant = Tenant.objects.get()
user = User.objects.create_user("later", tenant=tenant)
user.groups.add(TenantGroup.objects.create(label="Later", tenant=tenant))
user.user_permissions.add(Permission.objects.get(codename="change_user"))
root = User.objects.get(username="root")
assert set(describe(root)) == {"access", "refresh"}
LogEntry.objects.log_actions(root.pk, [user], ADDITION, single_object=True)
assert user.pk == 4, user.pk
root.delete()
assert LogEntry.objects.count() == 1
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Environment:
    """The environment of a site that was there before, after `migrate`."""
    environment = bare_environment(tmp_path) | {"STORAGE_URL": "memory://"}
    dump = (BEFORE / f"{request.param}.sql").read_text("utf-8")
    if request.param == "sqlite":
        with contextlib.closing(sqlite3.connect(environment["DATABASE"])) as database:
            database.executescript(dump)
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        environment["DATABASE_URL"] = postgres.make_database()
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as database:
            database.execute(dump.encode())
    manage(environment, "migrate", "--verbosity=0")
    return environment


def look(environment: Environment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        manage(environment, "shell", "--no-imports", "-c", LOOK)
    )
    return found


def test_users_log_and_events_move_to_a_first_tenant(upgraded: Environment) -> None:
    first, day = "First tenant", "2026-03-01T09:30:00+00:00"
    yes, no = (True, True), (False, False)
    may = ["accounts.change_user", "events.change_event"]
    expected = {
        "tenants": [[first, True]],
        "users": [
            [1, "root", "root@example.org", *yes, True, True, first, True, [], [], day],
            [2, "helper", "", *yes, False, False, first, True, may, ["Helpers"], day],
            [3, "gone", "", *no, False, False, first, False, [], [], day],
        ],
        "log": [
            ["root", "accounts", "helper", "/admin/accounts/user/2/change/"],
            ["helper", "events", "Storage Day", "/admin/events/event/1/change/"],
        ],
        "events": [
            [
                first,
                "Storage Day",
                [["Shares", "events/storage-day/slides/shares.pdf", ["Ada"]]],
            ]
        ],
        "types": 1,
        "permissions": 1,
    }

    assert look(upgraded) == expected
    # What comes later works with what was there before.
    manage(upgraded, "shell", "--no-imports", "-c", WRITE)

    assert [one[1] for one in look(upgraded)["users"]] == ["helper", "gone", "later"]
