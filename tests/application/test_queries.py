"""How many queries of the database the requests for one object take.

A figure that is a test; ``benchmarks/application/throughput.py`` has the rates.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from accounts.models import User
from audit.actions import Action
from audit.models import Entry
from objects import changing
from objects.models import StoredObject, Version
from tests.application.callers import EDITOR, Callers
from tests.application.stores import put, store_entry

pytestmark = pytest.mark.django_db

AT_MOST = 15
"""One of them looks whether a folder has the new object's path, one whether the user is
refused by now, and one notes the hash before the store is read: none where the store's
response confirms the bytes."""


def queries(captured: CaptureQueriesContext) -> list[str]:
    """Return what was asked of the database, without the test's own savepoints."""
    texts = [query["sql"] for query in captured.captured_queries]
    return [text for text in texts if "SAVEPOINT" not in text]


def test_an_object_goes_up_and_down_by_few_queries(callers: Callers) -> None:
    api, content = callers[EDITOR].api, b"x" * 10_000

    with CaptureQueriesContext(connection) as put:
        made = api.put("/api/v1/content/a.txt", content, content_type="text/plain")
    with CaptureQueriesContext(connection) as get:
        response = api.get(f"/api/v1/objects/{made.json()['id']}/content/")

    assert made.status_code == 201
    assert b"".join(response.streaming_content) == content
    assert len(queries(put)) <= AT_MOST, queries(put)
    # The user with the tenant, and the object with its version and who may see it.
    assert len(queries(get)) == 2, queries(get)


def test_what_s3_has_confirmed_is_noted_once(
    user: User, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings.STORAGES = {"default": store_entry("s3", tmp_path, request)}
    put(user, b"x" * 9_000, "first")  # It tries what the store heeds.

    with CaptureQueriesContext(connection) as asked:
        version = put(user, b"x" * 10_000)

    assert version.state == Version.State.STORED
    # Looked up, for nobody said that there is none.
    assert len(queries(asked)) == 13, queries(asked)
    noted = [text for text in queries(asked) if text.startswith("UPDATE")]
    assert len([text for text in noted if "objects_version" in text]) == 1


def test_many_objects_are_deleted_by_few_queries(callers: Callers) -> None:
    user = callers[EDITOR].user
    made = [put(user, b"x", f"{number}").object for number in range(30)]
    changing.delete(made[0].pk, actor=user)

    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        changing.delete_all([one.pk for one in made], actor=user)

    assert len(queries(captured)) <= 4, queries(captured)
    there = StoredObject.objects.filter(pk__in=[one.pk for one in made])
    assert there.filter(deleted_at=None).count() == 0
    assert not there.exclude(updated_at__gte=made[-1].updated_at).exists()
    entries = Entry.objects.filter(action=Action.OBJECT_DELETE, actor_id=user.pk)
    assert {entry.target_name for entry in entries} == {str(one) for one in made}
    assert entries.count() == 30
