"""Uploads whose only request is their creation, and what HEAD and logs say of one."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from api.models import OnceRequest
from objects import storing
from objects.models import StoredObject, UserPermission, Version
from tests.application.callers import client_of
from tests.application.test_tus import (
    CREATE,
    TYPE,
    checksum,
    create,
    metadata,
    offset,
    patch,
    stored,
    tus,
)
from uploads import finishing, receiving
from uploads.assembly import Lost
from uploads.leases import LEASE
from uploads.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def delete() -> None:
    StoredObject.objects.update(deleted_at=timezone.now())


def revoke() -> None:
    UserPermission.objects.all().delete()


def lose() -> NoReturn:
    version = Version.objects.get()
    version.storage.delete(version.key)
    raise Lost("The store has ended the upload.")


@pytest.mark.parametrize(
    ("meanwhile", "status"), [(delete, 409), (revoke, 403), (lose, 410)]
)
@pytest.mark.parametrize("body", [b"abcde", b""])
def test_what_ends_an_upload_ends_its_creation_with_all_of_it(
    api: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[], None],
    status: int,
    body: bytes,
) -> None:
    save = storing.save

    def slowly(*args: Any) -> None:
        save(*args)
        meanwhile()

    monkeypatch.setattr("uploads.finishing.storing.save", slowly)

    answer = tus(
        api,
        "POST",
        CREATE,
        body,
        upload_length=len(body),
        upload_metadata=metadata(filename="a.bin"),
    )

    assert answer.status_code == status, answer.content
    assert not Upload.objects.exists()
    assert not StoredObject.objects.exclude(current=None).exists()


def test_while_the_database_is_away_nobody_is_told_to_begin_anew(
    api: APIClient,
) -> None:
    url = create(api, 5)

    def away(*args: Any) -> NoReturn:
        raise OperationalError("the connection was refused")

    with connection.execute_wrapper(away):
        assert tus(APIClient(), "HEAD", url).status_code == 423

    assert tus(APIClient(), "HEAD", url).status_code == 200


def test_no_log_tells_by_which_url_somebody_may_go_on(
    api: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")
    upload = Upload.objects.get()
    Upload.objects.update(expires_at=timezone.now())

    def away(*args: Any) -> NoReturn:
        raise OSError("the store is away")

    monkeypatch.setattr("uploads.finishing.give_up", away)

    with caplog.at_level(logging.INFO), pytest.raises(CommandError):
        call_command("uploads_sweep", stdout=io.StringIO())

    assert str(upload.version_id) in caplog.text
    assert str(upload.pk) not in caplog.text


def keyed(api: APIClient, size: int, body: bytes, **headers: Any) -> HttpResponse:
    """Begin an upload of so many bytes under a key."""
    named = {"upload_length": size, "upload_metadata": metadata(filename="a.bin")}
    return tus(api, "POST", CREATE, body, idempotency_key="k1", **named, **headers)


@pytest.mark.parametrize("size", [4, 8])
def test_another_body_is_another_creation(api: APIClient, size: int) -> None:
    first = keyed(api, size, b"AAAA")

    again, other, longer = (keyed(api, size, x) for x in (b"AAAA", b"BBBB", b"AAA"))

    assert (first.status_code, again.status_code) == (201, 201)
    assert (other.status_code, longer.status_code) == (422, 422)
    for name in ("Location", "Upload-Offset", "Object-Id"):
        assert again[name] == first[name]
    if size == 8:
        assert patch(again["Location"], 4, b"CCCC").status_code == 204
        assert keyed(api, size, b"AAAA")["Upload-Offset"] == "8"
        assert keyed(api, size, b"BBBB").status_code == 422
    assert stored() == b"AAAACCCC"[:size]
    assert Upload.objects.count() == 1


def test_a_repeats_checksum_is_its_own_bodys(api: APIClient) -> None:
    sums = [checksum(b"AAAA"), checksum(b"BBBB", "md5")]
    assert keyed(api, 8, b"AAAA", upload_checksum=sums[0]).status_code == 201

    assert keyed(api, 8, b"AAAA", upload_checksum=sums[0]).status_code == 201
    assert keyed(api, 8, b"AAAA", upload_checksum=sums[1]).status_code == 460
    assert keyed(api, 8, b"BBBB", upload_checksum=sums[1]).status_code == 422


def test_a_repeat_of_what_broke_off_goes_on_with_what_had_come(api: APIClient) -> None:
    def send(came: bytes, length: int) -> HttpResponse:
        response: HttpResponse = api.generic(
            "POST",
            CREATE,
            came,
            content_type=TYPE,
            HTTP_TUS_RESUMABLE="1.0.0",
            HTTP_UPLOAD_LENGTH="6",
            HTTP_IDEMPOTENCY_KEY="k1",
            CONTENT_LENGTH=str(length),
            **{"wsgi.input": io.BytesIO(came)},
        )
        return response

    first = send(b"abc", 6)
    assert first["Upload-Offset"] == "3"

    assert send(b"abcdef", 6)["Upload-Offset"] == "3"
    assert send(b"abXdef", 6).status_code == 422
    assert send(b"ab", 6).status_code == 400
    assert patch(first["Location"], 3, b"def").status_code == 204
    assert send(b"abcdef", 6)["Upload-Offset"] == "6"
    assert stored() == b"abcdef"


@pytest.mark.parametrize("size", [4, 8])
def test_a_repeat_after_a_kill_goes_on_with_what_had_come(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("api.tuscreation.amend", lambda *_: None)
        first = keyed(api, size, b"AAAA")

    assert keyed(api, size, b"BBBB").status_code == 422
    again = keyed(api, size, b"AAAA")

    assert (again.status_code, again["Location"]) == (201, first["Location"])
    assert offset(again["Location"]) == 4


def test_a_repeat_after_a_kill_goes_on_also_once_more_has_come(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("api.tuscreation.amend", lambda *_: None)
        first = keyed(api, 8, b"AAAA")
    assert patch(first["Location"], 4, b"BBBB").status_code == 204

    again = keyed(api, 8, b"AAAA")

    assert (again.status_code, again["Location"]) == (201, first["Location"])


def test_a_creation_that_fails_leaves_the_key_to_who_began_anew_meanwhile(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile: list[HttpResponse] = []
    cancel = finishing.cancel

    def cancelled(upload: Upload) -> None:
        cancel(upload)
        if not meanwhile:
            meanwhile.append(keyed(api, 8, b"AAAA"))

    monkeypatch.setattr(finishing, "cancel", cancelled)
    wrong = keyed(api, 8, b"AAAA", upload_checksum=checksum(b"BBBB"))
    assert wrong.status_code == 460

    again = keyed(api, 8, b"AAAA")

    assert (again.status_code, meanwhile[0].status_code) == (201, 201)
    assert again["Location"] == meanwhile[0]["Location"]


def test_a_repeat_waits_until_the_first_body_has_come(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    hashing = receiving.running_hash

    def meanwhile(upload: Upload) -> Any:
        if not seen:
            seen.append(0)
            seen[0] = keyed(api, 8, b"AAAA").status_code
        return hashing(upload)

    monkeypatch.setattr(receiving, "running_hash", meanwhile)

    assert keyed(api, 8, b"AAAA").status_code == 201
    assert seen == [409]
    assert keyed(api, 8, b"AAAA").status_code == 201


def test_a_repeat_after_a_kill_before_anything_came_goes_on(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("api.tuscreation.take_first", lambda *_: None)
        killed.setattr("api.tuscreation.amend", lambda *_: None)
        keyed(api, 8, b"AAAA")
    assert keyed(api, 8, b"AAAA").status_code == 409
    Upload.objects.update(created_at=timezone.now() - LEASE)

    assert keyed(api, 8, b"AAAA")["Upload-Offset"] == "0"
    assert OnceRequest.objects.count() == 1
