"""Resumable uploads to S3: what comes is part of the object from the start."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Tenant, User
from objects import storing
from objects.models import StoredObject, Version
from tahoestorage.backends.sentparts import PART
from tahoestorage.verification import PartsDigest
from tests.application.callers import client_of
from tests.application.stores import after_the_dump, store_entry
from tests.application.test_tus import broken_off, create, offset, patch, tus
from tests.support.s3_servers import s3_requests
from tests.support.s3_storages import keys, unfinished
from uploads import assembly, hashing
from uploads.leases import Busy, Lease, acquire
from uploads.models import ObjectPart, Upload, UploadPart

SIZE = 2 * PART + 5_000
CONTENT = os.urandom(SIZE)

pytestmark = pytest.mark.django_db


@pytest.fixture
def storage(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """The tenants' store, a bucket of SeaweedFS."""
    kind = getattr(request, "param", "s3")
    default = store_entry(kind, tmp_path, request)
    with override_settings(STORAGES={**settings.STORAGES, "default": default}):
        yield storages["default"]


@pytest.fixture
def api(storage: Any) -> APIClient:
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    return client_of(User.objects.create_user("ann", password="x", tenant=tenant))


def send(url: str, *ends: int) -> None:
    """Send what is left up to each of these ends, in requests of their own."""
    for end in ends:
        start = offset(url)
        response = patch(url, start, CONTENT[start:end])
        assert response.status_code == 204, response.content


def stored_sha256() -> str:
    version = StoredObject.objects.get().current
    assert version is not None
    with version.storage.open(version.key) as file:
        assert hashlib.sha256(file.read()).hexdigest() == version.sha256
    return version.sha256


def nothing_but_the_object_is_left(storage: Any) -> bool:
    versions = [found.current for found in StoredObject.objects.all()]
    return (
        keys(storage) == [version.key for version in versions if version is not None]
        and not unfinished(storage)
        and not UploadPart.objects.exists()
        and not ObjectPart.objects.exists()
    )


@pytest.mark.parametrize("storage", ["s3", "s3 by https"], indirect=True)
def test_parts_become_the_object_and_are_not_read_again(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    send(url, 1000, 2000, PART + 7)
    assert [part.size for part in ObjectPart.objects.all()] == [PART]
    assert [part.size for part in UploadPart.objects.all()] == [7]

    with s3_requests(storage) as sent:
        send(url, SIZE)

    assert not [
        each for each in sent if each.method == "GET" and "uploads/" not in each.key
    ]
    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()
    assert nothing_but_the_object_is_left(storage)


def test_memory_of_parts_is_given_back_with_the_response(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_part, buffers = storage.put_part, list[Any]()

    def noted(name: str, upload: str, number: int, content: Any) -> Any:
        buffers.append(content)
        return put_part(name, upload, number, content)

    monkeypatch.setattr(storage, "put_part", noted)
    url = create(api, SIZE)
    send(url, 1000, SIZE)

    assert len(buffers) == 3
    assert all(buffer.closed for buffer in buffers)
    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()


def test_what_went_on_in_files_ends_in_files(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As uploads did that began before their parts were parts of the object.
    url = create(api, SIZE)
    with monkeypatch.context() as before:
        before.setattr(assembly, "is_for", lambda upload: False)
        send(url, PART + 7)
    assert not ObjectPart.objects.exists()

    send(url, SIZE)

    assert not ObjectPart.objects.exists()
    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()
    assert StoredObject.objects.get().size == SIZE


def test_a_part_that_is_missing_is_not_left_out(api: APIClient, storage: Any) -> None:
    url = create(api, SIZE)
    send(url, PART, 2 * PART)
    ObjectPart.objects.order_by("number").first().delete()  # type: ignore[union-attr]

    response = patch(url, 2 * PART, CONTENT[2 * PART :])

    assert response.status_code == 410
    assert not StoredObject.objects.exclude(current=None).exists()


def test_parts_of_any_length_are_not_kept_in_memory(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "MOST_IN_MEMORY", PART - 1)
    url = create(api, SIZE)

    send(url, 1000, SIZE)

    assert not ObjectPart.objects.exists()
    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("cut", [1, PART - 1, PART, PART + 1, SIZE - 1])
def test_a_body_that_breaks_off_counts_as_far_as_it_came(
    api: APIClient, storage: Any, cut: int
) -> None:
    url = create(api, SIZE)
    assert broken_off(url, 0, CONTENT[:cut], SIZE) == cut

    send(url, SIZE)

    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()
    assert nothing_but_the_object_is_left(storage)


def test_what_came_short_is_sent_beside_the_parts_before_it(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_part, create_file = storage.put_part, storage.create
    is_sent, waited = threading.Event(), list[bool]()

    def held(*given: Any) -> Any:
        waited.append(is_sent.wait(30))
        return put_part(*given)

    def noted(*given: Any, **options: Any) -> Any:
        is_sent.set()
        return create_file(*given, **options)

    monkeypatch.setattr(storage, "put_part", held)
    monkeypatch.setattr(storage, "create", noted)
    url = create(api, SIZE)

    assert broken_off(url, 0, CONTENT[: PART + 7], SIZE) == PART + 7
    assert waited == [True]


def test_what_is_kept_of_a_part_is_read_once_whole_while_the_next_one_comes(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    assert broken_off(url, 0, CONTENT[:1000], SIZE) == 1000
    with s3_requests(storage) as sent:
        assert broken_off(url, 1000, CONTENT[1000:3000], SIZE - 1000) == 3000
    assert "GET" not in {each.method for each in sent}

    opened, put_part = storage.open, storage.put_part
    is_next_sent, waited = threading.Event(), list[bool]()

    def held(*given: Any) -> Any:
        waited.append(is_next_sent.wait(30))
        return opened(*given)

    def noted(*given: Any) -> Any:
        is_next_sent.set()
        return put_part(*given)

    monkeypatch.setattr(storage, "open", held)
    monkeypatch.setattr(storage, "put_part", noted)
    response = patch(url, 3000, CONTENT[3000:])

    assert response.status_code == 204, response.content
    assert waited == [True, True]
    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()
    assert nothing_but_the_object_is_left(storage)


def test_whoever_has_no_state_of_the_hash_reads_the_object_once(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    send(url, PART + 1)
    monkeypatch.setattr(hashing, "_RELEASE", b"another:")

    send(url, SIZE)

    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()


def test_who_was_killed_before_the_row_was_written_is_made_up_for(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.settle", fail)
        assert patch(url, 0, CONTENT).status_code == 503
    Upload.objects.update(leased_until=timezone.now())

    call_command("uploads_sweep", stdout=io.StringIO())

    assert offset(url) == SIZE
    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()
    assert nothing_but_the_object_is_left(storage)


def test_what_ended_after_the_dump_that_was_restored_is_settled(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    send(url, PART)
    dumped = Upload.objects.values().get()
    parts = list(ObjectPart.objects.all())
    send(url, SIZE)
    whole = stored_sha256()
    # As the dump of between the two has them.
    Upload.objects.update(**{**dumped, "expires_at": timezone.now()})
    ObjectPart.objects.bulk_create(parts)
    StoredObject.objects.update(current=None, size=0, sha256="")
    Version.objects.update(state=Version.State.PENDING, sha256="")
    Tenant.objects.update(
        used_bytes=0, used_objects=0, reserved_bytes=SIZE, reserved_objects=1
    )

    call_command("uploads_sweep", stdout=io.StringIO())

    assert stored_sha256() == whole
    assert nothing_but_the_object_is_left(storage)
    tenant = Tenant.objects.get()
    assert (tenant.used_bytes, tenant.reserved_bytes) == (SIZE, 0)


@pytest.mark.parametrize("came", [0, 1000, PART, PART + 7, 2 * PART])
@pytest.mark.parametrize("is_large", [False, True])
def test_whoever_goes_on_with_what_ended_after_the_dump_loses_nothing(
    api: APIClient, storage: Any, came: int, is_large: bool
) -> None:
    url = create(api, SIZE)
    if came:
        send(url, came)
    with after_the_dump():
        send(url, SIZE)
        whole = stored_sha256()
    assert offset(url) == came

    # What is larger is read by a job.
    with override_settings(UPLOAD_PART_BYTES=SIZE - is_large):
        response = patch(url, came, CONTENT[came:])
        assert ("Job-Id" in response) is is_large
        if is_large:
            call_command("uploads_sweep", stdout=io.StringIO())

    assert (response.status_code, response["Upload-Offset"]) == (204, str(SIZE))
    assert offset(url) == SIZE
    assert stored_sha256() == whole == hashlib.sha256(CONTENT).hexdigest()
    assert nothing_but_the_object_is_left(storage)
    tenant = Tenant.objects.get()
    assert (tenant.used_bytes, tenant.reserved_bytes) == (SIZE, 0)


def test_what_is_whole_and_not_what_came_is_not_settled(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartsDigest, "stored", lambda *_: None)
    url = create(api, SIZE)

    assert patch(url, 0, CONTENT).status_code == 410

    assert not StoredObject.objects.exists()
    assert keys(storage) == []


def test_an_object_whose_version_was_given_up_meanwhile_does_not_stay(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    complete = assembly.complete

    def slowly(lease: Lease) -> str:
        storing.abandon(lease.version)
        return complete(lease)

    monkeypatch.setattr(assembly, "complete", slowly)

    assert patch(url, 0, CONTENT).status_code >= 400

    assert not Version.objects.exists()
    assert keys(storage) == []


def test_of_two_who_begin_the_parts_one_works_on(api: APIClient, storage: Any) -> None:
    url = create(api, SIZE)
    before = Upload.objects.get()
    checksum = "sha1 " + "A" * 27 + "="
    # It counts nothing, but the store has begun an object of parts.
    assert patch(url, 0, CONTENT, upload_checksum=checksum).status_code == 460

    with pytest.raises(Busy):
        acquire(before)

    acquire(Upload.objects.get())
    assert len(unfinished(storage)) == 1


def fail(*args: Any) -> None:
    raise OSError("the database is away")


def test_an_upload_that_is_given_up_leaves_no_parts(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    send(url, PART + 7)
    assert unfinished(storage)

    assert tus(APIClient(), "DELETE", url).status_code == 204

    assert nothing_but_the_object_is_left(storage)
    assert not StoredObject.objects.exists()


def test_an_upload_ends_where_somebody_aborted_it_in_the_store(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    send(url, PART)
    upload = Upload.objects.get()
    storage.abort_parts(upload.assembly_key, upload.assembly)

    assert patch(url, PART, CONTENT[PART:]).status_code == 410

    assert not Upload.objects.exists()
    assert nothing_but_the_object_is_left(storage)


def test_what_the_store_has_changed_is_found_out(
    api: APIClient, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, SIZE)
    send(url, PART)
    ObjectPart.objects.update(sha256="00" * 32)

    assert patch(url, PART, CONTENT[PART:]).status_code in (410, 503)

    assert not StoredObject.objects.filter(current__isnull=False).exists()


def test_a_body_with_another_checksum_counts_nothing(
    api: APIClient, storage: Any
) -> None:
    url = create(api, SIZE)
    checksum = "sha1 " + "A" * 27 + "="

    assert patch(url, 0, CONTENT, upload_checksum=checksum).status_code == 460
    assert offset(url) == 0
    send(url, SIZE)

    assert stored_sha256() == hashlib.sha256(CONTENT).hexdigest()


def test_what_is_no_longer_than_a_part_is_a_file_and_then_the_object(
    api: APIClient, storage: Any
) -> None:
    url = create(api, PART)
    send(url, 5, PART)

    version = StoredObject.objects.get().current
    assert version is not None
    assert version.sha256 == hashlib.sha256(CONTENT[:PART]).hexdigest()
    assert nothing_but_the_object_is_left(storage)
