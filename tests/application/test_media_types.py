"""The media type of a content, whichever way it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from objects.models import StoredObject, Version
from tests.application.callers import client_of
from tests.application.test_direct import begin, send
from tests.application.test_direct import stores as stores  # A fixture.
from tests.application.test_tus import create, metadata

pytestmark = pytest.mark.django_db

FORM = (
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
    "Content-Type: %s\r\n\r\none\r\n--x--\r\n"
)


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def by_put(api: APIClient, kind: str) -> int:
    sent = api.put("/api/v1/content/a", b"one", content_type=kind)
    return int(sent.status_code)


def by_form(api: APIClient, kind: str) -> int:
    body = (FORM % kind).encode()
    form = "multipart/form-data; boundary=x"
    sent = api.generic("POST", "/api/v1/objects/", body, content_type=form)
    return int(sent.status_code)


def by_tus(api: APIClient, kind: str) -> int:
    create(api, 0, upload_metadata=metadata(filename="a", filetype=kind))
    return 201


def directly(api: APIClient, kind: str) -> int:
    sent = api.post(
        "/api/v1/uploads/direct/",
        {"name": "a", "size": 3, "content_type": kind},
        format="json",
    )
    return int(sent.status_code)


@pytest.mark.parametrize("send", [by_put, by_form, by_tus])
@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        ("Text/CSV;charset=utf-8", "text/csv; charset=utf-8"),
        ('text/csv; header="a \\"b"', 'text/csv; header="a \\"b"'),
        ("image/svg+xml", "image/svg+xml"),
        ("application/x-a!b#c", "application/x-a!b#c"),
    ],
)
def test_each_way_keeps_what_is_sent(
    api: APIClient, send: Any, told: str, kept: str
) -> None:
    assert send(api, told) == 201

    assert Version.objects.get().content_type == kept


@pytest.mark.usefixtures("stores")
def test_what_goes_past_the_site_keeps_it_too(api: APIClient) -> None:
    upload = begin(api, content_type="Text/CSV;charset=utf-8", size=3)

    assert send(upload, b"one").ok
    api.post(f"/api/v1/uploads/direct/{upload['id']}/")

    stored = StoredObject.objects.get()
    assert (stored.size, stored.content_type) == (3, "text/csv; charset=utf-8")


@pytest.mark.parametrize("kind", ["text", "a/b c", "a/b\x00", "a/" + "b" * 300])
@pytest.mark.parametrize(
    ("send", "status"), [(by_put, 415), (by_form, 415), (directly, 400)]
)
def test_what_is_none_is_refused(
    api: APIClient, send: Any, status: int, kind: str
) -> None:
    assert send(api, kind) == status
    assert not Version.objects.exists()


@pytest.mark.parametrize("kind", ["text", "a/b c"])
def test_a_client_of_tus_that_tells_none_uploads_all_the_same(
    api: APIClient, kind: str
) -> None:
    by_tus(api, kind)

    assert Version.objects.get().content_type == "application/octet-stream"
