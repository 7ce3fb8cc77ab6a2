"""What `objects_sweep` does where aliases share a place, and in stores of nobody."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Tenant, User
from objects import mending, moving
from objects.defects import Defect
from objects.models import Copy, StoredObject, Version
from tests.application.stores import KINDS, names_in, put, read, store_entry

pytestmark = pytest.mark.django_db


def sweep(*options: str) -> tuple[bool, Any]:
    """Run the command; return whether it said that all is well, and what it told."""
    output = io.StringIO()
    is_well = True
    try:
        call_command(
            "objects_sweep", "--json", "--older-than=0", *options, stdout=output
        )
    except CommandError:
        is_well = False
    return is_well, json.loads(output.getvalue())


@pytest.fixture(params=KINDS)
def one_place(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    """Two aliases of one store."""
    entry = store_entry(request.param, tmp_path, request)
    settings.STORAGES = {"default": entry, "cold": dict(entry)}


@pytest.fixture
def two_places(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    settings.STORAGES = {
        alias: store_entry("files", tmp_path, request) for alias in ("default", "cold")
    }


def errors() -> list[str]:
    """What the check of places says, in a word each."""
    return [each.msg for each in run_checks() if each.id == "objects.E001"]


@pytest.mark.usefixtures("one_place")
def test_two_aliases_of_one_place_lose_nothing(user: User) -> None:
    versions = [put(user, b"content %d" % number, str(number)) for number in range(3)]
    Tenant.objects.create(name="Cold", slug="cold", store="cold")

    for options in ((), ("--force",)):
        is_well, told = sweep(*options)
        assert told["cold"]["found"] == {Defect.NAMESAKE: 3}
        assert (is_well, told["cold"]["stopped"]) == (False, not options)

    assert told["cold"]["done"] == {mending.LEFT: 3}
    for number, version in enumerate(versions):
        assert read(version) == b"content %d" % number


@pytest.mark.usefixtures("one_place")
def test_two_aliases_of_one_place_are_refused() -> None:
    (error,) = errors()

    assert error.startswith(
        'STORAGES["cold"] and STORAGES["default"] lead to one place'
    )


@pytest.mark.usefixtures("one_place")
@pytest.mark.parametrize("one_place", ["files"], indirect=True)
def test_what_a_move_between_two_aliases_of_one_place_made_is_all_that_goes(
    user: User,
) -> None:
    put(user, b"content")
    call_command("tenant_move", "acme", "cold", "--jobs=1", stdout=io.StringIO())

    sweep("--force")

    version = Version.objects.get()
    assert (version.store, read(version)) == ("cold", b"content")
    assert names_in(storages["cold"], "tenants") == [version.key]


@pytest.mark.parametrize("below", ["tenants", "uploads/x", "quarantine"])
def test_a_place_in_what_is_swept_of_another_is_refused(
    settings: Any, tmp_path: Path, below: str
) -> None:
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {
        alias: {"BACKEND": backend, "OPTIONS": {"location": str(place)}}
        for alias, place in {
            "default": tmp_path,
            "cold": tmp_path / below,
            "beside": tmp_path / "cold",
            "staticfiles": tmp_path,
        }.items()
    }

    (error,) = errors()

    assert f"cold in {below!r} of default" in error


@pytest.mark.usefixtures("two_places")
def test_copies_that_no_move_noted_are_suspicious(user: User) -> None:
    put(user, b"content")
    Tenant.objects.create(name="Another", slug="another")  # It uses the first store.
    moving.choose(user.tenant, "cold")
    list(moving.move(user.tenant, "cold"))
    # As a database from before the move was noted has it.
    noted = list(Copy.objects.all())
    Copy.objects.all().delete()

    _is_well, told = sweep()

    assert told["default"]["found"] == {Defect.COPY: 1}
    assert told["default"]["stopped"]
    assert len(names_in(storages["default"], "tenants")) == 1
    Copy.objects.bulk_create(noted)
    Copy.objects.update(noted_at=timezone.now())
    assert sweep()[1]["default"]["done"] == {"deleted a copy": 1}
    assert names_in(storages["default"], "tenants") == []
    assert read(Version.objects.get()) == b"content"


@pytest.mark.usefixtures("two_places")
def test_a_store_that_was_filled_as_a_mirror_is_left_alone(user: User) -> None:
    bob = User.objects.create_user("bob", tenant=user.tenant)
    for number in range(3):
        put(user, b"content", str(number))
    put(bob, b"of bob", "cv-of-bob")
    storages["default"].save("uploads/1/0", ContentFile(b"part"))
    call_command("storage_copy", "default", "cold", stdout=io.StringIO())
    storages["default"].delete("uploads/1/0")
    before = [names_in(storages["cold"], top) for top in ("tenants", "uploads")]
    call_command("erase_user", "bob", "--no-input", stdout=io.StringIO())

    for options in ((), ("--force",)):
        is_well, told = sweep(*options)
        assert is_well
        assert told["cold"]["used"] is False

    assert told["cold"]["found"] == {
        Defect.NAMESAKE: 3,
        Defect.ORPHAN: 1,
        Defect.PART: 1,
    }
    assert told["cold"]["done"] == {mending.LEFT: 5}
    assert [names_in(storages["cold"], top) for top in ("tenants", "uploads")] == before
    assert not StoredObject.objects.filter(name="cv-of-bob").exists()
    output = io.StringIO()
    call_command("objects_sweep", stdout=output)
    assert "no tenant uses it, and no row names it" in output.getvalue()


@pytest.mark.usefixtures("two_places")
@pytest.mark.parametrize("by", ["tenant", "row"])
def test_bytes_become_a_row_again_in_a_store_that_is_used(user: User, by: str) -> None:
    moving.choose(user.tenant, "cold")
    lost = put(User.objects.get(), b"of today", "new")
    if by == "row":
        put(User.objects.get(), b"kept", "kept")
        moving.choose(user.tenant, "default")
    StoredObject.objects.filter(pk=lost.object_id).delete()

    assert sweep("--force")[1]["cold"]["done"] == {"made a row": 1}

    found = StoredObject.objects.get(name="new").current
    assert found is not None
    assert read(found) == b"of today"
