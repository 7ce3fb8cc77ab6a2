"""The audit: what is written down stays as it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import LiteralString

import psycopg
import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import Tenant, User
from audit.actions import Action
from audit.models import AppendOnly, Entry
from audit.recording import erase_names, record
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    Callers,
)
from tests.application.postgres import Postgres
from tests.application.site import bare_environment, manage


@pytest.fixture
def ann() -> User:
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    return User.objects.create_user("ann", tenant=tenant)


@pytest.fixture
def entry(ann: User) -> Entry:
    return record(
        Action.USER_CHANGE, ann, tenant_id=ann.tenant_id, actor=ann, active=True
    )


@pytest.mark.django_db
def test_an_entry_says_who_did_what_to_whom(ann: User, entry: Entry) -> None:
    kept = Entry.objects.get()
    assert (kept.actor_id, kept.actor_name) == (ann.pk, "ann")
    assert (kept.target_type, kept.target_id) == ("user", str(ann.pk))
    assert (kept.action, kept.details) == ("user.change", {"active": True})


@pytest.mark.django_db
def test_the_application_changes_and_deletes_no_entry(entry: Entry) -> None:
    entry.actor_name = "bob"
    for attempt in (
        entry.save,
        entry.delete,
        Entry.objects.all().delete,
        lambda: Entry.objects.update(actor_name="bob"),
        lambda: Entry.objects.bulk_update([entry], ["actor_name"]),
    ):
        with pytest.raises(AppendOnly):
            attempt()
    assert Entry.objects.get().actor_name == "ann"


@pytest.mark.django_db
def test_an_erased_person_has_no_name_and_a_number(ann: User, entry: Entry) -> None:
    bob = User.objects.create_user("bob", tenant=ann.tenant)
    record(Action.USER_CREATE, bob, tenant_id=ann.tenant_id, actor=None)

    erase_names(ann.pk)

    of_ann = Entry.objects.get(actor_id=ann.pk)
    assert (of_ann.actor_name, of_ann.target_name) == ("erased", "erased")
    assert of_ann.details == {}
    assert Entry.objects.get(target_id=str(bob.pk)).target_name == "bob"


@pytest.mark.django_db(transaction=True)
def test_a_change_and_its_entry_are_there_both_or_neither(ann: User) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        record(Action.USER_CHANGE, ann, tenant_id=ann.tenant_id, actor=ann)

    def changed() -> None:
        with transaction.atomic():
            record(Action.USER_CHANGE, ann, tenant_id=ann.tenant_id, actor=ann)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        changed()

    assert not Entry.objects.exists()


def test_administrators_read_their_own_tenant_s_entries(callers: Callers) -> None:
    url = reverse("api:audit-list")
    of_object = Entry.objects.get(action="object.create")
    one = reverse("api:audit-detail", args=[of_object.pk])

    for kind, status, count in (
        (TENANT_ADMINISTRATOR, 200, 1),
        (SUPER_TENANT, 200, 1),
        (OTHER_TENANT, 404, 0),
    ):
        api = callers[kind].api
        assert len(api.get(url).json()["results"]) == count
        assert api.get(one).status_code == status
    for kind in (ADMINISTRATOR, STRANGER):
        assert callers[kind].api.get(url).status_code == 403
        assert callers[kind].api.get(one).status_code == 403


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"action": "object.create"}, 1),
        ({"action__startswith": "object."}, 2),
        ({"action": "share.create"}, 0),
        ({"at__lt": "2020-01-01T00:00:00Z"}, 0),
        ({"at__gte": "2020-01-01T00:00:00Z"}, 2),
        ({"target_type": "storedobject"}, 2),
    ],
)
def test_entries_are_filtered(
    callers: Callers, asked: dict[str, str], count: int
) -> None:
    record(
        Action.OBJECT_DELETE,
        callers.object,
        tenant_id=callers.tenant.pk,
        actor=callers[EDITOR].user,
    )
    found = callers[TENANT_ADMINISTRATOR].api.get(reverse("api:audit-list"), asked)

    assert len(found.json()["results"]) == count


def test_the_newest_entry_comes_first_and_pages_hold_each_once(
    callers: Callers,
) -> None:
    for _ in range(7):
        record(
            Action.OBJECT_DELETE,
            callers.object,
            tenant_id=callers.tenant.pk,
            actor=callers[EDITOR].user,
        )
    api, seen = callers[SUPER_TENANT].api, []
    url = reverse("api:audit-list") + "?limit=3"
    while url:
        page = api.get(url).json()
        seen += [one["id"] for one in page["results"]]
        url = page["next"]

    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 8


def test_the_admin_shows_entries_and_changes_none(callers: Callers) -> None:
    operator = callers[SUPER_TENANT].user
    operator.is_staff = operator.is_superuser = True
    operator.save()
    entry = Entry.objects.get()
    site = Client()
    site.force_login(operator)

    assert b"object.create" in site.get("/admin/audit/entry/").content
    one = f"/admin/audit/entry/{entry.pk}/change/"
    assert site.get(one).status_code == 200
    assert site.post(one, {"actor_name": "bob"}).status_code == 403
    assert site.post(f"/admin/audit/entry/{entry.pk}/delete/").status_code == 403
    assert site.get("/admin/audit/entry/add/").status_code == 403


AS_SQL = [
    "UPDATE audit_entry SET actor_name = 'bob'",
    "UPDATE audit_entry SET at = now()",
    "UPDATE audit_entry SET actor_id = NULL, actor_name = 'erased'",
    "UPDATE audit_entry SET details = '{\"a\": 1}'",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry",
    "TRUNCATE audit_entry, auth_user CASCADE",
]


@pytest.fixture(scope="module")
def kept(
    postgres: Postgres,
    postgres_tables: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[psycopg.Connection]:
    """A connection to a database of PostgreSQL with one entry of the audit."""
    url = postgres_tables()
    environment = bare_environment(tmp_path_factory.mktemp("audit"))
    environment |= {"DATABASE_URL": url, "STORAGE_URL": "memory://"}
    manage(environment, "shell", "--no-imports", "-c", WRITE)
    with postgres.connect(url.rpartition("/")[2]) as connection:
        yield connection


WRITE = """
from django.db import transaction
from accounts.models import Tenant, User
from audit.actions import Action
from audit.recording import record
acme = Tenant.objects.create(name="Acme", slug="acme")
ann = User.objects.create_user("ann", tenant=acme)
with transaction.atomic():
    record(Action.USER_CHANGE, ann, tenant_id=1, actor=ann, active=True)
"""


@pytest.mark.parametrize("statement", AS_SQL)
def test_postgresql_refuses_to_change_an_entry(
    kept: psycopg.Connection, statement: LiteralString
) -> None:
    before = kept.execute("SELECT * FROM audit_entry").fetchall()

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        kept.execute(statement)

    assert kept.execute("SELECT * FROM audit_entry").fetchall() == before


def test_postgresql_lets_names_be_erased(kept: psycopg.Connection) -> None:
    with kept.transaction(force_rollback=True):
        kept.execute("UPDATE audit_entry SET actor_name = 'erased'")
        kept.execute("UPDATE audit_entry SET target_name = 'erased', details = '{}'")
        rows = kept.execute(
            "SELECT DISTINCT actor_name, target_name, details::text FROM audit_entry"
        ).fetchall()
    assert rows == [("erased", "erased", "{}")]
