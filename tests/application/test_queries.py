"""How many queries of the database the requests for one object take."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.application.callers import EDITOR, Callers

pytestmark = pytest.mark.django_db

AT_MOST = 15


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
