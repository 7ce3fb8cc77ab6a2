"""Installations from before there were tenants: `migrate` loses nothing of theirs.

before/ has the example's database as version 0.2 left it, with a few rows: made by its
own migrations, and dumped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.application.postgres import Postgres
from tests.application.site import Environment, bare_environment, manage

BEFORE = Path(__file__).parent / "before"
SLIDES = "events/storage-day/slides/shares.pdf"
PHOTO = "events/storage-day/photos/ada.jpg"
SLIDES_SHA256 = hashlib.sha256(b"%PDF" + b"x" * 6).hexdigest()
LOOK = """
import json
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.auth.models import Permission
from accounts.models import Tenant, User
from events.models import Event
from objects.models import Version
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
        [e.tenant.name, e.name, e.published, [[s.title, s.media.path, [p.name for p in
         s.speakers.all()]] for s in e.sessions.all()]] for e in Event.objects.all()
    ],
    "files": [
        [v.object.path, v.object.state, v.state, v.store, v.key, v.size, v.sha256,
         v.missing_since is not None]
        for v in Version.objects.order_by("key")
    ],
    "used": list(Tenant.objects.values_list("used_bytes", "used_objects")),
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
    environment = bare_environment(tmp_path)
    slides = Path(environment["MEDIA_ROOT"]) / SLIDES
    slides.parent.mkdir(parents=True)
    slides.write_bytes(b"%PDF" + b"x" * 6)
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
                True,
                [["Shares", SLIDES, ["Ada"]]],
            ]
        ],
        # The photo is not there: so its row says, until it comes back.
        "files": [
            [PHOTO, "stored", "stored", "default", PHOTO, None, "", True],
            [SLIDES, "stored", "stored", "default", SLIDES, 10, SLIDES_SHA256, False],
        ],
        "used": [[10, 2]],
        "types": 1,
        "permissions": 1,
    }

    assert look(upgraded) == expected
    # What comes later works with what was there before.
    manage(upgraded, "shell", "--no-imports", "-c", WRITE)

    assert [one[1] for one in look(upgraded)["users"]] == ["helper", "gone", "later"]


def test_files_of_before_are_swept_and_backed_up_where_they_are(
    upgraded: Environment, tmp_path: Path
) -> None:
    photo = Path(upgraded["MEDIA_ROOT"]) / PHOTO
    photo.parent.mkdir()
    photo.write_bytes(b"a photo")

    said = manage(upgraded, "objects_sweep", "--older-than=0")
    manage(upgraded, "backup", str(tmp_path / "backup"))

    assert "found again: 1" in said
    told = look(upgraded)
    assert told["used"] == [[17, 2]]
    assert [file[5] for file in told["files"]] == [7, 10]
    copies = tmp_path / "backup/stores/default"
    assert (copies / PHOTO).read_bytes() == b"a photo"
    assert (copies / SLIDES).is_file()
