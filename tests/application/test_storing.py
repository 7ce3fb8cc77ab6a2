"""No row says stored without its bytes: what each store is asked, and what it costs."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages

from accounts.models import Tenant, User
from objects.keys import MAX_KEY, key_of, read_key
from objects.models import StoredObject, Version
from objects.storing import NotStored
from tahoestorage.exceptions import StoreError
from tests.application.stores import damage_saves, put, store_entry
from tests.conftest import requests_sent
from tests.support.s3_servers import s3_requests

pytestmark = pytest.mark.django_db
LARGE = (33 << 20) + 7
"""Bytes: just above what samples read."""


@pytest.fixture
def on_s3(settings: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    settings.STORAGES = {"default": store_entry("s3", tmp_path, request)}
    return storages["default"]


def test_s3_is_sent_the_sha256_and_tells_it_in_its_response(
    user: User, on_s3: Any
) -> None:
    put(user, os.urandom(9_000))  # The first one tries what the store heeds.

    with s3_requests(on_s3) as sent:
        version = put(user, os.urandom(10_000))

    # It is refused where the key is taken.
    assert [each.method for each in sent] == ["PUT"]
    assert sent[0].headers["if-none-match"] == "*"
    assert "x-amz-checksum-sha256" in sent[0].headers
    assert version.state == Version.State.STORED


@pytest.mark.parametrize("size", [10, 10_000])
def test_what_was_damaged_on_the_way_to_s3_is_not_stored(
    user: User, on_s3: Any, size: int
) -> None:
    put(user, b"whole", "whole")

    def flip(request: Any, **kwargs: Any) -> None:
        if request.method == "PUT":
            body = request.body
            content = body if isinstance(body, bytes) else body.read()
            request.body = bytes([content[0] ^ 1]) + content[1:]

    events = on_s3.connection.meta.client.meta.events
    events.register("before-send.s3", flip)
    try:
        with pytest.raises(StoreError):
            put(user, os.urandom(size))
    finally:
        events.unregister("before-send.s3", flip)

    assert [found.name for found in StoredObject.objects.all()] == ["whole"]
    user.tenant.refresh_from_db()
    assert (user.tenant.used_bytes, user.tenant.reserved_bytes) == (5, 0)


def test_what_the_store_changed_is_not_stored(
    user: User,
    settings: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.STORAGES = {"default": store_entry("files", tmp_path, request)}
    damage_saves(storages["default"], monkeypatch, 0)

    with pytest.raises(NotStored):
        put(user, b"content")

    assert not StoredObject.objects.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_grid_is_read_back_once(
    user: User, settings: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings.STORAGES = {"default": store_entry("grid", tmp_path, request)}

    with requests_sent() as sent:
        version = put(user, os.urandom(10_000))

    assert version.state == Version.State.STORED
    downloads = [line for line in sent if line.startswith("GET /uri/")]
    assert len([line for line in downloads if "CHK" in line]) == 1


@pytest.mark.parametrize(
    ("bound", "downloads"), [(0, 32), (LARGE - 1, 32), (LARGE, 1), (None, 1)]
)
def test_a_large_object_is_read_back_in_samples(
    user: User,
    settings: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    bound: int | None,
    downloads: int,
) -> None:
    settings.STORAGES = {"default": store_entry("grid", tmp_path, request)}
    settings.READ_BACK_BYTES = bound
    content = os.urandom(LARGE)

    with requests_sent() as sent:
        version = put(user, content)

    assert version.sha256 == hashlib.sha256(content).hexdigest()
    read = [line for line in sent if line.startswith("GET /uri/") and "CHK" in line]
    assert len(read) == downloads


@pytest.mark.parametrize("place", [0, LARGE - 1])
def test_a_large_object_whose_first_or_last_byte_is_another_is_not_stored(
    user: User,
    settings: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    place: int,
) -> None:
    settings.STORAGES = {"default": store_entry("files", tmp_path, request)}
    settings.READ_BACK_BYTES = 0
    damage_saves(storages["default"], monkeypatch, place)

    with pytest.raises(NotStored):
        put(user, bytes(LARGE))

    assert not StoredObject.objects.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_key_says_whose_the_bytes_are(user: User) -> None:
    version = put(user, b"content", "Übersicht 第一.pdf", "photos/2026")

    read = read_key(version.key)

    assert read is not None
    assert (read.tenant_id, read.version_id) == (user.tenant_id, version.id)
    assert (read.object_id, read.user_id) == (version.object_id, user.pk)
    assert read.size == 7
    assert read.path == "photos/2026/Übersicht 第一.pdf"


def test_directories_stay_small_however_many_versions_a_tenant_keeps() -> None:
    """Of the last ten versions of an object none shares directories with another.

    So each has at most 512 names for 100,000 objects, as `hashed_directory` promises.
    """
    tenant = Tenant(pk=7, max_versions=10)
    found = StoredObject(tenant=tenant, name="a")

    def directories(number: int) -> set[str]:
        keys = (key_of(Version(object=found, number=number)) for _ in range(3000))
        return {key.rpartition("/")[0] for key in keys}

    shares = [directories(1), *(directories(number) for number in range(11, 21))]
    assert [len(share) for share in shares] == [256] * 11
    assert len(set.union(*shares)) == 11 * 256
    tops = {name.split("/")[2] for share in shares for name in share}
    assert len(tops) <= 512
    key = key_of(Version(object=found, number=17, size=3))
    assert key.startswith("tenants/7/v7/")
    said = read_key(key)
    assert said is not None
    assert (said.tenant_id, said.path) == (7, "a")


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [("", "a", "a"), ("f" * 700, "n" * 90, "n" * 90), ("f" * 700, "n" * 255, "")],
)
def test_a_key_has_the_path_as_far_as_it_fits(
    folder: str, name: str, path: str
) -> None:
    found = StoredObject(id=uuid.uuid4(), tenant_id=10**9, folder=folder, name=name)
    key = key_of(Version(object=found, number=1, created_by_id=10**9))

    assert len(key) <= MAX_KEY
    read = read_key(key)
    assert read is not None
    assert read.path == path


@pytest.mark.parametrize(
    "key",
    [
        "",
        "tenants/1/ab/x",
        "tenants/1/ab/{0}~{0}",
        "tenants/1/ab/{0}~{0}~1~YQ",
        "tenants/1/ab/{0}~{0}~~7~=",
        "tenants/1/ab/{0}~{0}~~7~Lw",  # A slash alone.
        "tenants/1/ab/{0}~{0}~~7~Li4",  # ".."
        "elsewhere/tenants/1/ab/{0}~{0}~1~7~YQ",
        "events/a.jpg",
    ],
)
def test_other_names_say_nothing(key: str) -> None:
    assert read_key(key.format(uuid.uuid4().hex)) is None
