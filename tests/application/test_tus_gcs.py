"""Resumable uploads to Google Cloud Storage, which makes the object of the parts."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from jobs import running
from objects.models import StoredObject
from tests.application.callers import client_of
from tests.application.test_tus import (
    broken_off,
    create,
    metadata,
    offset,
    patch,
    read,
    tus,
)
from tests.support.gcs_servers import GCS, refusal
from uploads import hashing
from uploads.models import Upload, UploadPart

PART = 1000
SIZE = 40 * PART + 7  # More parts than one request takes.
CONTENT = os.urandom(SIZE)

pytestmark = pytest.mark.django_db


@pytest.fixture
def storage(gcs: GCS, tmp_path: Path) -> Any:
    """The tenants' store."""
    options = {
        **gcs.options,
        "bucket_name": gcs.make_bucket(),
        "cache": {"directory": str(tmp_path / "cache")},
    }
    default = {"BACKEND": "tahoestorage.backends.gcs.GCSStorage", "OPTIONS": options}
    stores = {**settings.STORAGES, "default": default}
    with override_settings(STORAGES=stores, UPLOAD_PART_BYTES=PART):
        yield storages["default"]


@pytest.fixture
def api(storage: Any, user: User) -> APIClient:
    return client_of(user)


def only_the_object_is_there(storage: Any) -> bool:
    """Whether it is what was sent, and nothing else is in the bucket."""
    version = StoredObject.objects.get().current
    assert version is not None
    return (
        read(version) == CONTENT
        and version.sha256 == hashlib.sha256(CONTENT).hexdigest()
        and [blob.name for blob in storage.bucket.list_blobs()] == [version.key]
        and not UploadPart.objects.exists()
    )


def test_parts_become_the_object_and_nothing_is_read_or_sent_again(
    api: APIClient, gcs: GCS, storage: Any
) -> None:
    described = metadata(filename="a.png", filetype="image/png")
    url = create(api, SIZE, upload_metadata=described)
    for end in (5, 3 * PART + 1, SIZE - 1):
        start = offset(url)
        assert patch(url, start, CONTENT[start:end]).status_code == 204
    gcs.front.reset()

    assert patch(url, SIZE - 1, CONTENT[-1:]).status_code == 204

    kinds = gcs.front.kinds
    assert kinds.count("compose") == 2
    assert kinds.count("upload") == 1
    assert "read" not in kinds
    assert only_the_object_is_there(storage)
    assert [blob.content_type for blob in storage.bucket.list_blobs()] == ["image/png"]


def test_a_body_that_breaks_off_counts_as_far_as_it_came(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    assert broken_off(url, 0, CONTENT[: PART + 3], SIZE) == PART + 3

    assert patch(url, PART + 3, CONTENT[PART + 3 :]).status_code == 204

    assert only_the_object_is_there(storage)


def test_who_has_no_state_of_the_hash_reads_the_parts(
    api: APIClient, gcs: GCS, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    patch(url, 0, CONTENT[:PART])
    monkeypatch.setattr(hashing, "_RELEASE", b"another:")
    gcs.front.reset()

    assert patch(url, PART, CONTENT[PART:]).status_code == 204
    assert "read" not in gcs.front.kinds
    assert running.run_waiting() == 1

    assert "compose" not in gcs.front.kinds
    assert only_the_object_is_there(storage)


def test_what_the_store_has_changed_is_no_object(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    patch(url, 0, CONTENT[:-1])
    key = UploadPart.objects.order_by("start").first().key  # type: ignore[union-attr]
    blob = storage.bucket.blob(storage.key_of(key))
    blob.upload_from_string(bytes(PART))

    assert patch(url, SIZE - 1, CONTENT[-1:]).status_code == 503

    assert not StoredObject.objects.exclude(current=None).exists()


def test_a_store_that_fails_at_the_end_is_asked_again(
    api: APIClient, gcs: GCS, storage: Any
) -> None:
    url = create(api, SIZE)
    gcs.front.play("compose", None, refusal(403, "not now"))
    assert patch(url, 0, CONTENT).status_code == 503
    Upload.objects.update(leased_until=timezone.now())

    call_command("uploads_sweep", stdout=io.StringIO())

    assert offset(url) == SIZE
    assert only_the_object_is_there(storage)


def test_an_upload_that_is_given_up_leaves_nothing(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    patch(url, 0, CONTENT[:5000])

    assert tus(APIClient(), "DELETE", url).status_code == 204

    assert not list(storage.bucket.list_blobs())
    assert not StoredObject.objects.exists()
