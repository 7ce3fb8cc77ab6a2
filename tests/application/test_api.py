"""The API's first steps: a token, an object up, listed, and down again."""

from __future__ import annotations

import hashlib
import io
import os

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tokens import create_tokens
from objects import storing
from objects.incoming import IncomingFile, Truncated
from objects.models import StoredObject, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(user: User) -> APIClient:
    client = APIClient()
    access = create_tokens(user).access_token
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def test_an_object_goes_up_is_listed_and_comes_down(api: APIClient) -> None:
    content = os.urandom(100_000)

    made = api.put(
        "/api/v1/content/photos/2026/a.bin",
        content,
        content_type="application/octet-stream",
    )

    assert made.status_code == 201, made.content
    assert made.json()["sha256"] == hashlib.sha256(content).hexdigest()
    listed = api.get(reverse("api:object-list"), {"folder": "photos/2026"}).json()
    assert [one["name"] for one in listed["results"]] == ["a.bin"]
    url = reverse("api:object-content", args=[made.json()["id"]])
    whole = api.get(url)
    assert b"".join(whole.streaming_content) == content
    part = api.get(url, HTTP_RANGE="bytes=10-19")
    assert part.status_code == 206
    assert b"".join(part.streaming_content) == content[10:20]


def test_a_second_writer_of_a_name_makes_a_version(api: APIClient) -> None:
    for content, status in ((b"one", 201), (b"two two", 200)):
        made = api.put("/api/v1/content/a.txt", content, content_type="text/plain")
        assert made.status_code == status

    assert StoredObject.objects.get().size == 7
    assert Version.objects.filter(state="stored").count() == 2


def test_what_was_announced_and_did_not_come_leaves_nothing(user: User) -> None:
    content = IncomingFile(io.BytesIO(b"short"), 9)

    with pytest.raises(Truncated, match="5 of 9 bytes arrived"):
        storing.store(content, tenant=user.tenant, user=user, folder="", name="a")

    assert not StoredObject.objects.exists()
    user.tenant.refresh_from_db()
    assert (user.tenant.used_bytes, user.tenant.reserved_bytes) == (0, 0)


def test_nobody_is_refused_by_a_problem_document() -> None:
    response = APIClient().get(reverse("api:object-list"))

    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == 401
