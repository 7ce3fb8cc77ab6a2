"""Resumable uploads that ended after the copy of the database that was restored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from objects import mending, storing
from objects.defects import Defect
from objects.keys import moved_key
from objects.models import StoredObject, Version
from tests.application.callers import client_of
from tests.application.stores import (
    KINDS,
    after_the_dump,
    names_in,
    read,
    store_entry,
)
from tests.application.test_sweep import sweep, used
from tests.application.test_tus import create, patch
from uploads import finishing
from uploads.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["files"])
def url(
    request: pytest.FixtureRequest, user: User, settings: Any, tmp_path: Path
) -> str:
    """An upload that was acknowledged whole, and of which the rows know a half."""
    static = settings.STORAGES["staticfiles"]
    default = store_entry(request.param, tmp_path, request)
    settings.STORAGES = {"default": default, "staticfiles": static}
    url = create(client_of(user), 10)
    assert patch(url, 0, b"01234").status_code == 204
    with after_the_dump():
        assert patch(url, 5, b"56789").status_code == 204
        assert StoredObject.objects.get().current is not None
    assert Upload.objects.get().offset == 5
    return url


def expired() -> None:
    Upload.objects.update(expires_at=timezone.now(), lease=None, leased_until=None)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_it_is_settled_once_it_has_expired(user: User, url: str) -> None:
    sweep()
    assert Version.objects.get().state == Version.State.PENDING
    expired()

    call_command("uploads_sweep", stdout=io.StringIO())

    version = StoredObject.objects.get().current
    assert version is not None
    assert (version.state, read(version)) == ("stored", b"0123456789")
    assert used(user) == (10, 1, 0, 0)
    assert Upload.objects.get().offset == 10
    assert names_in(storages["default"], "uploads") == []
    assert sweep()["found"] == {}


@pytest.mark.parametrize("url", ["files", "grid"], indirect=True)
def test_whoever_goes_on_with_it_ends_it(user: User, url: str) -> None:
    assert sweep()["done"] == {"named a copy": 1}

    assert patch(url, 5, b"56789").status_code == 204

    version = StoredObject.objects.get().current
    assert version is not None
    assert read(version) == b"0123456789"
    assert used(user) == (10, 1, 0, 0)


def test_other_bytes_than_it_ended_with_are_not_taken_for_it(
    user: User, url: str
) -> None:
    assert sweep()["done"] == {"named a copy": 1}

    assert patch(url, 5, b"abcde").status_code == 503

    # Those that were acknowledged first are kept for a while.
    (kept,) = names_in(storages["default"], "quarantine")
    with storages["default"].open(kept) as file:
        assert file.read() == b"0123456789"
    assert StoredObject.objects.get().current is None


def test_what_a_store_altered_is_no_end(
    user: User, settings: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    static = settings.STORAGES["staticfiles"]
    default = store_entry("files", tmp_path, request)
    settings.STORAGES = {"default": default, "staticfiles": static}
    url = create(client_of(user), 10)
    save = storages["default"].save

    def altered(name: str, content: Any) -> str:
        if not name.startswith("tenants/"):
            return str(save(name, content))
        save(name, ContentFile(b"X" + b"".join(content.chunks())[1:]))
        raise OSError("The response was lost.")

    with pytest.MonkeyPatch.context() as once:
        once.setattr(storages["default"], "save", altered)
        assert patch(url, 0, b"0123456789").status_code == 503
    Upload.objects.update(lease=None, leased_until=None)

    finishing.finish_if_complete(Upload.objects.get())

    version = Version.objects.get()
    assert (version.state, read(version)) == ("stored", b"0123456789")


def test_a_put_that_ended_after_the_dump_is_settled_under_its_later_key(
    user: User, settings: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As it is where the tenant was moved there and back since."""
    static = settings.STORAGES["staticfiles"]
    default = store_entry("files", tmp_path, request)
    settings.STORAGES = {"default": default, "staticfiles": static}
    version = storing.begin(
        tenant=user.tenant,
        user=user,
        folder="",
        name="a.bin",
        size=10,
        content_type="text/plain",
    )
    storages["default"].save(moved_key(version), ContentFile(b"0123456789"))

    told = [sweep()["done"], sweep()["done"]]

    assert told == [{"named a copy": 1, mending.LEFT: 1}, {"settled": 1}]
    version.refresh_from_db()
    assert (version.state, read(version)) == ("stored", b"0123456789")


def test_it_does_not_outlive_its_owner(user: User, url: str) -> None:
    sweep()

    call_command("erase_user", "ann", "--no-input", stdout=io.StringIO())

    assert names_in(storages["default"], "tenants") == []
    assert sweep()["found"] == {}
    assert not StoredObject.objects.exists()


@pytest.mark.parametrize("size", [9, 11])
def test_what_is_not_of_the_size_is_left_alone(user: User, url: str, size: int) -> None:
    (key,) = names_in(storages["default"], "tenants")
    storages["default"].delete(key)
    storages["default"].save(key, ContentFile(b"x" * size))

    told = sweep()

    assert (told["found"], told["done"]) == ({Defect.COPY: 1}, {mending.LEFT: 1})
    assert Version.objects.get().key != key


def test_whoever_works_on_it_meanwhile_names_its_bytes(
    user: User, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = Version.objects.get()
    mine = moved_key(version)
    size = storages["default"].size

    def claimed_meanwhile(key: str) -> int:
        Version.objects.filter(pk=version.pk).update(key=mine)
        found: int = size(key)
        return found

    monkeypatch.setattr(storages["default"], "size", claimed_meanwhile)

    assert sweep()["done"] == {mending.LEFT: 1}

    assert Version.objects.get().key == mine
