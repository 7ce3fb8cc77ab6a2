"""Uploads whose only request is their creation, and what HEAD and logs say of one."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from objects import storing
from objects.models import StoredObject, UserPermission
from tests.application.callers import client_of
from tests.application.test_tus import CREATE, create, metadata, patch, tus
from uploads.assembly import Lost
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
