"""Files that were a field's before they were objects: their keys do not say whose."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Tenant, User
from objects import changing, keys
from objects.models import Copy, StoredObject, Version
from tests.application.stores import names_in, read, store_entry
from tests.application.test_sweep import sweep

pytestmark = pytest.mark.django_db

KEY = "events/day/photos/ada.jpg"
CONTENT = b"A photo from before."


@pytest.fixture(autouse=True)
def _stores(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    settings.STORAGES = {
        "default": store_entry("files", tmp_path, request),
        "new": store_entry("files", tmp_path, request),
    }


def field_file(user: User, *, there: bool = True) -> Version:
    """Return the version of an object as the migration leaves it, in the store."""
    if there:
        storages["default"].save(KEY, ContentFile(CONTENT))
    found = StoredObject.objects.create(
        tenant=user.tenant, folder="events/day/photos", name="ada.jpg"
    )
    version = Version.objects.create(
        object=found,
        number=1,
        state=Version.State.STORED,
        store="default",
        key=KEY,
        size=len(CONTENT) if there else None,
        sha256=hashlib.sha256(CONTENT).hexdigest() if there else "",
        missing_since=None if there else timezone.now(),
    )
    found.take(version)
    found.save()
    size = len(CONTENT) if there else 0
    Tenant.objects.update(used_bytes=size, used_objects=1)
    return version


def is_there(key: str = KEY) -> bool:
    return storages["default"].exists(key)


def test_a_sweep_leaves_it_and_what_lies_beside_it_alone(user: User) -> None:
    field_file(user)
    storages["default"].save("events/day/photos/other.jpg", ContentFile(b"others'"))

    assert sweep()["found"] == {}

    assert is_there()
    assert is_there("events/day/photos/other.jpg")


def test_a_sweep_notices_that_it_is_missing_and_that_it_is_back(user: User) -> None:
    version = field_file(user)
    storages["default"].delete(KEY)

    assert sweep(status=1)["missing"] == [KEY]
    storages["default"].save(KEY, ContentFile(CONTENT))
    assert sweep()["done"] == {"found again": 1}

    version.refresh_from_db()
    assert version.missing_since is None
    assert sweep()["found"] == {}


def test_one_that_was_never_seen_is_measured_when_it_comes(user: User) -> None:
    version = field_file(user, there=False)
    assert sweep(status=1)["missing"] == [KEY]
    storages["default"].save(KEY, ContentFile(CONTENT))

    assert sweep()["done"] == {"found again": 1}

    version.refresh_from_db()
    tenant = Tenant.objects.get()
    assert version.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert version.size == version.object.size == tenant.used_bytes == len(CONTENT)
    assert version.object.sha256 == version.sha256
    assert tenant.used_objects == 1


def test_moved_to_another_store_its_key_says_whose_it_is(user: User) -> None:
    version = field_file(user)

    call_command("tenant_move", "acme", "new", "--jobs=1")

    version.refresh_from_db()
    said = keys.read_key(version.key)
    assert version.store == "new"
    assert said is not None
    assert (said.version_id, said.path) == (version.pk, version.object.path)
    assert read(version) == CONTENT
    # Whoever was reading it goes on; the next day's sweep deletes it.
    assert is_there()
    assert sweep(age="24")["done"] == {}
    yesterday = timezone.now() - timedelta(days=2)
    Version.objects.update(moved_at=yesterday)
    Copy.objects.update(noted_at=yesterday)
    assert sweep(age="24")["done"] == {"deleted a copy": 1}
    assert not is_there()
    assert names_in(storages["new"], "tenants") != []


def test_a_purge_deletes_its_bytes_and_gives_back_its_room(user: User) -> None:
    version = field_file(user)
    changing.delete(version.object_id, actor=user)
    StoredObject.objects.update(deleted_at=timezone.now() - timedelta(days=4000))

    call_command("objects_purge")

    assert not is_there()
    assert not Version.objects.exists()
    tenant = Tenant.objects.get()
    assert (tenant.used_bytes, tenant.used_objects) == (0, 0)
