"""Queries whose SQL is made once: with other values they ask for other rows."""

from __future__ import annotations

import uuid
from unittest.mock import Mock

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant, User
from accounts.prepared import Parameter, Prepared, PreparedInsert, PreparedUpdate
from audit.models import Entry
from objects.access import OBJECTS, Access
from objects.grants import grant_first
from objects.models import StoredObject, UserPermission

pytestmark = pytest.mark.django_db


@pytest.fixture
def users() -> list[User]:
    made = []
    for name in ("ann", "bob"):
        tenant = Tenant.objects.create(name=name, slug=name)
        made.append(User.objects.create_user(name, tenant=tenant))
    return made


def test_a_prepared_query_is_made_once_and_asked_for_any_value(
    users: list[User],
) -> None:
    ann, bob = users
    users_of_pk = User.objects.filter(pk=Parameter("pk", User))
    make = Mock(side_effect=lambda: users_of_pk.select_related("tenant"))
    prepared: Prepared[User] = Prepared(make)

    with CaptureQueriesContext(connection) as asked:
        found = [prepared.first(pk=pk) for pk in (ann.pk, bob.pk, -1, ann.pk)]
        tenants = [user and user.tenant.slug for user in found]

    assert found == [ann, bob, None, ann]
    assert tenants == ["ann", "bob", None, "ann"]
    assert found[0] is not found[3]
    assert len(asked) == 4
    assert make.call_count == 1


def test_values_become_what_the_field_keeps(users: list[User]) -> None:
    made = StoredObject.objects.create(tenant=users[0].tenant, name="a'; --\\ %s")
    of_key = Prepared(
        lambda: StoredObject.objects.filter(pk=Parameter("pk", StoredObject))
    )
    of_name = Prepared(
        lambda: StoredObject.objects.filter(
            name=Parameter("name", StoredObject, "name"), folder=""
        )
    )

    assert of_key.first(pk=made.pk) == of_key.first(pk=str(made.pk)) == made
    assert of_key.first(pk=uuid.uuid4()) is None
    assert of_name.all(name=made.name) == [made]
    with pytest.raises(ValidationError):
        of_key.first(pk="none")


def test_a_prepared_update_tells_how_many_rows_it_changed(users: list[User]) -> None:
    by = Parameter("by", Tenant, "used_bytes")
    update = PreparedUpdate(
        lambda: Tenant.objects.filter(slug=Parameter("slug", Tenant, "slug")),
        lambda: {"used_bytes": F("used_bytes") + by},
    )

    changed = [
        update(slug=slug, by=n) for slug, n in (("ann", 5), ("ann", 2), ("x", 1))
    ]

    assert changed == [1, 1, 0]
    assert [each.used_bytes for each in Tenant.objects.order_by("slug")] == [7, 0]


def test_a_prepared_insert_makes_the_row_that_save_makes(users: list[User]) -> None:
    ann = users[0]
    made = StoredObject(tenant=ann.tenant, owner=ann, name="a'; --\\ %s", folder="b")
    insert, add = PreparedInsert(StoredObject), PreparedInsert(Entry)
    entries = [Entry(action="x", details={"n": n, "of": [None]}) for n in range(2)]

    with CaptureQueriesContext(connection) as asked:
        insert(made)
        for entry in entries:
            add(entry)

    assert len(asked) == 3
    there = StoredObject.objects.get(pk=made.pk)
    for field in StoredObject._meta.concrete_fields:
        assert getattr(there, field.attname) == getattr(made, field.attname)
    assert there.created_at is not None
    assert list(Entry.objects.order_by("pk")) == entries
    assert Entry.objects.get(pk=entries[1].pk).details == {"n": 1, "of": [None]}
    made.name = "later"
    made.save()
    assert StoredObject.objects.get().name == "later"
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(StoredObject(tenant=ann.tenant, name="later", folder="b"))


def test_what_the_database_finds_is_no_parameter(users: list[User]) -> None:
    ann, _bob = users
    found = StoredObject.objects.create(tenant=ann.tenant, name="a")

    grant_first(found, ann)

    granted = UserPermission.objects.get()
    assert (granted.user, granted.permission.codename) == (ann, "administer_object")
    assert OBJECTS.one(ann, found.pk, Access.ADMINISTER) == found


def test_an_object_is_found_as_lists_show_it(users: list[User]) -> None:
    ann, bob = users
    found = StoredObject.objects.create(tenant=ann.tenant, name="a")

    assert OBJECTS.one(ann, found.pk) is None
    ann.is_administrator = True
    assert OBJECTS.one(ann, found.pk) == found
    assert OBJECTS.one(bob, found.pk) is None
