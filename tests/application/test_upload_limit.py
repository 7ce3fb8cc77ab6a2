"""UPLOAD_LIMIT binds every way by which a file comes."""

from __future__ import annotations

import io
from typing import Any

import pytest

from objects.models import StoredObject, Version
from tests.application.callers import ADMINISTRATOR, Callers

OBJECTS, CONTENT = "/api/v1/objects/", "/api/v1/content/new.txt"
FORM = "multipart/form-data; boundary=b"


@pytest.fixture(autouse=True)
def limit(settings: Any) -> None:
    settings.UPLOAD_LIMIT = 10


def send(api: Any, way: str, size: int) -> Any:
    """Send a file of so many bytes, or the beginning of its upload."""
    content = b"x" * size
    if way == "form":
        file = io.BytesIO(content)
        file.name = "new.txt"
        return api.post(OBJECTS, {"file": file}, format="multipart")
    if way == "name":
        return api.put(CONTENT, content, content_type="text/plain")
    assert way == "tus"
    return api.post(
        "/api/v1/uploads/",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(size)},
    )


@pytest.mark.parametrize("way", ["form", "name", "tus"])
def test_a_larger_file_is_refused_and_one_of_that_size_taken(
    callers: Callers, way: str
) -> None:
    api = callers[ADMINISTRATOR].api
    before = StoredObject.objects.count(), Version.objects.count()

    assert send(api, way, 11).status_code == 413
    assert (StoredObject.objects.count(), Version.objects.count()) == before
    assert send(api, way, 10).status_code == 201


def test_the_form_of_a_larger_file_is_refused_unread(callers: Callers) -> None:
    api = callers[ADMINISTRATOR].api

    refused = api.generic(
        "POST", OBJECTS, b"--b\r\n", content_type=FORM, CONTENT_LENGTH=str(10**9)
    )

    assert refused.status_code == 413
