"""Uploads past the site, by a signed request: believed once they were hashed."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.erasure import erase
from accounts.models import Tenant, User
from jobs import running, sweeping
from jobs.models import Job
from objects import storing
from objects.models import Copy, StoredObject, Version
from tahoestorage.backends.directupload import DirectUpload
from tests.application.callers import client_of
from tests.application.described import check
from tests.application.stores import names_in
from tests.support.gcs_servers import GCS
from tests.support.s3_servers import S3Server
from uploads.models import Upload

NEW = "/api/v1/uploads/direct/"
CONTENT = os.urandom(3000)

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["s3", "gcs"])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Have the tenants' objects in a bucket."""
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("moto")
        backend = "tahoestorage.backends.s3.S3Storage"
        options = {**s3.options, "bucket_name": s3.make_bucket()}
    else:
        gcs: GCS = request.getfixturevalue("gcs")
        backend = "tahoestorage.backends.gcs.GCSStorage"
        options = {**gcs.options, "bucket_name": gcs.make_bucket()}
    options["cache"] = {"directory": str(tmp_path / "cache")}
    default = {"BACKEND": backend, "OPTIONS": options}
    with override_settings(STORAGES={**settings.STORAGES, "default": default}):
        yield


@pytest.fixture
def user() -> User:
    tenant = Tenant.objects.create(name="Acme", slug="acme", max_bytes=5000)
    return User.objects.create_user("ann", password="secret", tenant=tenant)


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def begin(api: APIClient, **more: Any) -> dict[str, Any]:
    described = {"name": "a.bin", "folder": "b", "size": len(CONTENT), **more}
    response = api.post(NEW, described, format="json")
    check(response, "POST", "/uploads/direct/", 201)
    found: dict[str, Any] = response.json()
    return found


def send(upload: dict[str, Any], content: bytes) -> requests.Response:
    assert upload["method"] == "PUT"
    return requests.put(upload["url"], content, headers=upload["headers"], timeout=60)


def counts() -> list[int]:
    """Bytes of the tenant: used, and reserved."""
    tenant = Tenant.objects.get(slug="acme")
    return [tenant.used_bytes, tenant.reserved_bytes]


def test_whoever_gets_a_url_is_told_how_long_it_is_good(
    stores: None, api: APIClient
) -> None:
    before = timezone.now().replace(microsecond=0)

    upload = begin(api)

    query = parse_qs(urlsplit(upload["url"]).query)
    (good,) = (int(query[name][0]) for name in query if name.endswith("-Expires"))
    end = datetime.fromisoformat(upload["expires_at"])
    seconds = timedelta(seconds=good)
    # Seconds are whole in the URL: it may say one less.
    assert before + seconds <= end <= timezone.now() + seconds + timedelta(seconds=1)
    # They may be equal: Google's URLs are good for a day, as uploads are.
    assert end <= Upload.objects.get().expires_at


def test_what_was_uploaded_is_stored_once_it_was_hashed(
    stores: None, api: APIClient
) -> None:
    upload = begin(api)
    assert StoredObject.objects.get().state == "pending"
    assert counts() == [0, 3000]
    assert api.post(f"{NEW}{upload['id']}/").status_code == 409
    assert send(upload, CONTENT).status_code == 200
    assert StoredObject.objects.get().state == "pending"

    response = api.post(f"{NEW}{upload['id']}/")

    check(response, "POST", "/uploads/direct/{id}/", 200)
    assert response.json() == {
        "object": upload["object"],
        "state": "stored",
        "job": None,
    }
    found = StoredObject.objects.get()
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert counts() == [3000, 0]
    assert api.post(f"{NEW}{upload['id']}/").status_code == 200
    # By the same request nobody puts other bytes in their place.
    assert send(upload, CONTENT[::-1]).status_code == 412


def test_it_begins_once_and_its_url_is_kept_nowhere(
    stores: None, api: APIClient
) -> None:
    described, headers = {"name": "a", "size": 3000}, {"Idempotency-Key": "k1"}
    first, again = (
        api.post(NEW, described, format="json", headers=headers) for _ in range(2)
    )

    assert (first.status_code, again.status_code) == (201, 201)
    for name in ("id", "object", "headers"):
        assert again.json()[name] == first.json()[name]
    assert again.headers["Cache-Control"] == "no-store"
    assert send(again.json(), CONTENT).status_code == 200
    assert api.post(f"{NEW}{first.json()['id']}/").status_code == 200
    assert Upload.objects.count() == 1
    other = api.post(NEW, described | {"size": 1}, format="json", headers=headers)
    assert other.status_code == 422


def test_nothing_is_signed_for_a_finished_upload(stores: None, api: APIClient) -> None:
    described, headers = {"name": "a", "size": 3000}, {"Idempotency-Key": "k1"}
    upload = api.post(NEW, described, format="json", headers=headers).json()
    send(upload, CONTENT)
    assert api.post(f"{NEW}{upload['id']}/").status_code == 200

    again = api.post(NEW, described, format="json", headers=headers)

    assert (again.status_code, again.json()["detail"]) == (
        409,
        "The upload is finished.",
    )
    assert "url" not in again.json()


def test_nothing_is_signed_for_what_is_given_up_meanwhile(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign(version: Version) -> DirectUpload:
        storing.abandon_bytes(version)
        return DirectUpload("PUT", "https://bucket.test/a", {}, {})

    monkeypatch.setattr("uploads.direct.sign", sign)

    response = api.post(NEW, {"name": "a", "size": 9}, format="json")

    assert response.status_code == 404
    assert "url" not in response.json()


@pytest.fixture
def large() -> Iterator[None]:
    """Have what is uploaded be more than is hashed in a request."""
    with override_settings(UPLOAD_PART_BYTES=len(CONTENT) - 1):
        yield


def test_what_is_large_is_hashed_by_a_job(
    stores: None, large: None, api: APIClient
) -> None:
    upload = begin(api)
    assert api.post(f"{NEW}{upload['id']}/").status_code == 409
    send(upload, CONTENT)

    for _ in range(2):  # The job of the first is the second's.
        response = api.post(f"{NEW}{upload['id']}/")
        check(response, "POST", "/uploads/direct/{id}/", 202)
    job = Job.objects.get()
    assert response.json() == {
        "object": upload["object"],
        "state": "pending",
        "job": str(job.pk),
    }
    assert StoredObject.objects.get().state == "pending"
    running.run_waiting()

    assert StoredObject.objects.get().sha256 == hashlib.sha256(CONTENT).hexdigest()
    job.refresh_from_db()
    assert (job.state, job.done, job.of) == ("done", len(CONTENT), len(CONTENT))
    assert counts() == [3000, 0]
    assert api.post(f"{NEW}{upload['id']}/").status_code == 200


@pytest.mark.parametrize(
    ("instead", "error"),
    [
        (b"something else", "Another number of bytes was uploaded."),
        (None, "The store has lost what had come of it."),
    ],
)
def test_a_job_says_why_it_lets_nothing_be_stored(
    stores: None, large: None, api: APIClient, instead: bytes | None, error: str
) -> None:
    upload = begin(api)
    send(upload, CONTENT)
    assert api.post(f"{NEW}{upload['id']}/").status_code == 202
    version = Version.objects.get()
    version.storage.delete(version.key)
    if instead is not None:
        version.storage.save(version.key, io.BytesIO(instead))

    running.run_waiting()

    job = Job.objects.get()
    assert (job.state, job.error) == ("failed", error)
    assert not StoredObject.objects.exclude(current=None).exists()


def test_who_gives_it_up_cancels_the_job(
    stores: None, large: None, api: APIClient
) -> None:
    upload = begin(api)
    send(upload, CONTENT)
    api.post(f"{NEW}{upload['id']}/")

    assert api.delete(f"{NEW}{upload['id']}/").status_code == 204

    assert Job.objects.get().state == "cancelled"
    assert running.run_waiting() == 0
    assert not StoredObject.objects.exclude(current=None).exists()
    assert api.post(f"{NEW}{upload['id']}/").status_code == 404


def test_where_workers_run_they_hash_what_nobody_said_was_uploaded(
    stores: None, large: None, api: APIClient
) -> None:
    send(begin(api), CONTENT)
    begin(api, name="other.bin", size=0)

    sweeping.sweep()
    running.run_waiting()

    assert [found.name for found in StoredObject.objects.exclude(current=None)] == [
        "a.bin"
    ]


def test_the_sweep_hashes_what_nobody_said_was_uploaded(
    stores: None, api: APIClient
) -> None:
    send(begin(api), CONTENT)
    begin(api, name="other.bin", size=5)

    said = io.StringIO()
    call_command("uploads_sweep", stdout=said)

    assert "1 finished" in said.getvalue()
    assert "1 waiting" in said.getvalue()
    assert [found.name for found in StoredObject.objects.exclude(current=None)] == [
        "a.bin"
    ]


def test_the_sweep_gives_up_what_never_came(stores: None, api: APIClient) -> None:
    begin(api)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    call_command("uploads_sweep", stdout=io.StringIO())

    assert not Upload.objects.exists()
    assert not StoredObject.objects.exists()
    assert counts() == [0, 0]


def test_another_number_of_bytes_is_given_up(stores: None, api: APIClient) -> None:
    upload = begin(api)
    version = Version.objects.get()
    version.storage.save(version.key, io.BytesIO(b"something else"))

    assert api.post(f"{NEW}{upload['id']}/").status_code == 422

    assert not version.storage.exists(version.key)
    assert StoredObject.objects.get().state == "pending"
    assert api.post(f"{NEW}{upload['id']}/").status_code == 404


def test_what_comes_by_the_url_of_one_that_was_given_up_has_its_room_and_goes(
    stores: None, api: APIClient
) -> None:
    upload = begin(api)
    assert api.delete(f"{NEW}{upload['id']}/").status_code == 204
    assert counts() == [0, 3000]
    version = Version.objects.get()

    assert send(upload, CONTENT).status_code == 200
    sweep_all()
    assert counts() == [0, 3000]
    assert not StoredObject.objects.exclude(current=None).exists()
    Upload.objects.update(expires_at=timezone.now(), leased_until=None)
    sweep_all()

    assert counts() == [0, 0]
    assert not version.storage.exists(version.key)
    assert not StoredObject.objects.exists()
    assert not Upload.objects.exists()


def comes_late(upload: dict[str, Any], key: str, *, swept: float = -1) -> None:
    """Upload after all, and sweep when what the database knows is a day older.

    Before it comes, there is a sweep of what is older than ``swept`` hours.
    """
    call_command("objects_sweep", older_than=swept, force=True, stdout=io.StringIO())
    assert send(upload, CONTENT).status_code == 200
    storage = storages["default"]
    assert storage.exists(key)
    Copy.objects.update(noted_at=timezone.now() - timedelta(days=2))

    call_command("objects_sweep", older_than=0, force=True, stdout=io.StringIO())

    assert not StoredObject.objects.exists()
    assert not storage.exists(key)
    assert not names_in(storage, "quarantine")
    assert counts() == [0, 0]


def test_what_an_erased_person_uploads_after_all_comes_to_nothing(
    stores: None, api: APIClient, user: User
) -> None:
    upload, key = begin(api), Version.objects.get().key

    assert erase(user).left == []

    comes_late(upload, key)


def test_the_url_of_a_finished_upload_brings_an_erased_person_back_neither(
    stores: None, api: APIClient, user: User
) -> None:
    upload, key = begin(api), Version.objects.get().key
    send(upload, CONTENT)
    assert api.post(f"{NEW}{upload['id']}/").status_code == 200
    assert api.delete(f"{NEW}{upload['id']}/").status_code == 204

    assert erase(user).left == []

    comes_late(upload, key)


def test_a_url_that_was_signed_later_brings_an_erased_person_back_neither(
    stores: None, api: APIClient, user: User
) -> None:
    described, headers = {"name": "a", "size": 3000}, {"Idempotency-Key": "k1"}
    api.post(NEW, described, format="json", headers=headers)
    # As almost a day later.
    Upload.objects.update(expires_at=timezone.now() + timedelta(seconds=60))
    upload = api.post(NEW, described, format="json", headers=headers).json()
    end, key = datetime.fromisoformat(upload["expires_at"]), Version.objects.get().key
    assert Upload.objects.get().expires_at >= end
    assert end > timezone.now() + timedelta(seconds=60)
    send(upload, CONTENT)
    assert api.post(f"{NEW}{upload['id']}/").status_code == 200

    assert erase(user).left == []

    comes_late(upload, key, swept=0)


def test_an_upload_expires_no_earlier_than_its_first_url(
    stores: None, api: APIClient, settings: Any
) -> None:
    settings.UPLOAD_LIFETIME = timedelta(seconds=60)

    upload = begin(api)

    end = datetime.fromisoformat(upload["expires_at"])
    assert Upload.objects.get().expires_at >= end
    assert end > timezone.now() + timedelta(seconds=3000)


def test_an_upload_that_is_hashed_expires_no_earlier_than_its_last_url(
    stores: None, api: APIClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UPLOAD_LIFETIME = timedelta(seconds=60)
    monkeypatch.setattr("uploads.leases.RENEWED", 0)
    upload = begin(api)
    send(upload, CONTENT)

    assert api.post(f"{NEW}{upload['id']}/").status_code == 200

    end = datetime.fromisoformat(upload["expires_at"])
    assert Upload.objects.get().expires_at >= end


def test_what_comes_after_its_url_has_expired_comes_to_nothing(
    stores: None, api: APIClient
) -> None:
    upload, key = begin(api), Version.objects.get().key
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    call_command("uploads_sweep", stdout=io.StringIO())
    assert not Version.objects.exists()

    # It began before that: a slow one.
    assert send(upload, CONTENT).status_code == 200
    Copy.objects.update(noted_at=timezone.now() - timedelta(days=2))
    call_command("objects_sweep", older_than=0, force=True, stdout=io.StringIO())

    assert not StoredObject.objects.exists()
    assert not storages["default"].exists(key)


def sweep_all() -> None:
    """Sweep uploads and objects, however young what is found is."""
    call_command("uploads_sweep", stdout=io.StringIO())
    call_command("objects_sweep", older_than=-1, force=True, stdout=io.StringIO())


def test_it_is_nobody_else_s(stores: None, api: APIClient, user: User) -> None:
    upload = begin(api)
    other = User.objects.create_user("bob", tenant=user.tenant)

    for method in ("post", "delete"):
        call = getattr(client_of(other), method)
        assert call(f"{NEW}{upload['id']}/").status_code == 404
    assert api.delete(f"{NEW}{upload['id']}/").status_code == 204
    assert api.delete(f"{NEW}{upload['id']}/").status_code == 404


def test_a_store_that_takes_none_says_so(api: APIClient) -> None:
    response = api.post(NEW, {"name": "a", "size": 1}, format="json")

    assert response.status_code == 409
    assert not StoredObject.objects.exists()
    assert counts() == [0, 0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("works", [True, False])
def test_it_is_signed_while_no_row_is_locked(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    seen = []

    def sign(version: Version) -> DirectUpload:
        seen.append((connection.in_atomic_block, counts()))
        if not works:
            raise OSError("the store is away")
        return DirectUpload("PUT", "https://bucket.test/a", {}, {})

    monkeypatch.setattr("uploads.direct.sign", sign)
    response = api.post(NEW, {"name": "a", "size": 9}, format="json")

    assert seen == [(False, [0, 9])]
    assert response.status_code == (201 if works else 503)
    assert counts() == [0, 9 if works else 0]
    assert Upload.objects.count() == works


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("size", -1, 400),
        ("size", 1 << 60, 413),
        ("size", 6000, 507),
        ("name", "a/b", 400),
        ("folder", "..", 400),
        ("content_type", "text/plain\r\nX: y", 400),
        ("content_type", "текст/plain", 400),
    ],
)
def test_what_is_not_valid_is_refused(
    api: APIClient, field: str, value: Any, status: int
) -> None:
    response = api.post(NEW, {"name": "a", "size": 1, field: value}, format="json")

    assert response.status_code == status
    assert not StoredObject.objects.exists()


def test_one_that_was_given_up_begins_anew_under_its_key(
    stores: None, api: APIClient
) -> None:
    def begin() -> Any:
        described = {"name": "a", "size": 1}
        headers = {"Idempotency-Key": "k1"}
        return api.post(NEW, described, format="json", headers=headers)

    first = begin().json()
    assert api.delete(f"{NEW}{first['id']}/").status_code == 204

    second, third = begin(), begin()

    assert (second.status_code, third.status_code) == (201, 201)
    assert second.json()["id"] == third.json()["id"] != first["id"]


def test_a_download_by_the_buckets_own_url_is_as_the_schema_says(
    stores: None, api: APIClient, settings: Any
) -> None:
    upload = begin(api)
    send(upload, CONTENT)
    api.post(f"{NEW}{upload['id']}/")
    settings.PUBLIC_LINKS = True

    response = api.get(f"/api/v1/objects/{upload['object']}/content/")

    check(response, "GET", "/objects/{id}/content/", 302)
    assert requests.get(response.headers["Location"], timeout=60).content == CONTENT
