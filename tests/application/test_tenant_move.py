"""A tenant's bytes go to another store, while the tenant is used."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Tenant, User
from objects import moving, purging
from objects.keys import MAX_KEY, moved_key, read_key
from objects.models import Copy, StoredObject, Version
from tests.application.stores import names_in, put, read, store_entry
from tests.application.test_sweep import sweep
from tests.conftest import requests_sent

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The process ends here."""


class Stumbling:
    """A storage before each of whose calls something happens."""

    def __init__(self, storage: Any, before: Callable[[str], None]) -> None:
        self._storage, self._before = storage, before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before(name)
            return found(*args, **kwargs)

        return call


@pytest.fixture(params=[("files", "files")], ids=str)
def stores(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    old, new = request.param
    settings.STORAGES = {
        "default": store_entry(old, tmp_path, request),
        "new": store_entry(new, tmp_path, request),
    }


def move(*options: str) -> Any:
    output = io.StringIO()
    command = ("tenant_move", "acme", "new", "--jobs=1", "--json", *options)
    call_command(*command, stdout=output)
    return json.loads(output.getvalue())


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("stores", [("files", "s3"), ("s3", "grid")], indirect=True)
def test_all_that_a_tenant_has_moves_and_the_old_bytes_go_later(user: User) -> None:
    contents = {f"{n}.bin": os.urandom(n * 1000) for n in range(4)}
    for name, content in contents.items():
        put(user, content, name)

    told = move()

    assert (told["versions"], told["moved"], told["under way"]) == (4, 4, 0)
    for version in Version.objects.select_related("object"):
        assert version.store == "new"
        assert read(version) == contents[version.object.name]
    # Those who read the old ones may go on; a day later nobody does.
    assert len(names_in(storages["default"], "tenants")) == 4
    sweep(age="24")
    assert len(names_in(storages["default"], "tenants")) == 4
    assert sweep()["done"] == {"deleted a copy": 4}
    assert names_in(storages["default"], "tenants") == []
    assert len(names_in(storages["new"], "tenants")) == 4
    assert put(User.objects.get(), b"later", "later").store == "new"


@pytest.mark.usefixtures("stores")
def test_killed_anywhere_it_goes_on(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {name: os.urandom(1000) for name in "abc"}
    for name, content in contents.items():
        put(user, content, name)
    steps, kills = 0, 0

    def before(name: str) -> None:
        nonlocal steps
        steps += 1
        if steps > kills:
            raise Killed

    new = Stumbling(storages["new"], before)
    while True:
        steps = 0
        with monkeypatch.context() as patch:
            patch.setattr(moving, "storages", {"new": new})
            try:
                move()
                break
            except Killed:
                kills += 1
        # At each moment a row names bytes that are whole.
        for version in Version.objects.select_related("object"):
            assert read(version) == contents[version.object.name]

    assert kills >= 4
    assert not Version.objects.exclude(store="new").exists()
    sweep("--force")
    for version in Version.objects.select_related("object"):
        assert read(version) == contents[version.object.name]
    assert len(names_in(storages["new"], "tenants")) == 3
    assert names_in(storages["default"], "tenants") == []


@pytest.mark.usefixtures("stores")
def test_the_tenant_is_used_meanwhile(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kept", "changed", "deleted"):
        put(user, name.encode(), name)
    going = Version.objects.get(object__name="deleted")
    done: list[str] = []

    def before(name: str) -> None:
        if name != "save" or done:
            return
        done.append(name)
        # One request knows of the move, and one was under way before it.
        put(User.objects.get(), b"a newer one", "changed")
        put(user, b"quite new", "new")
        Version.objects.filter(pk=going.pk).update(state=Version.State.GOING)
        purging.purge()
        for version in Version.objects.all():
            assert read(version)

    stumbling = Stumbling(storages["new"], before)
    monkeypatch.setattr(moving, "storages", {"new": stumbling})

    told = move()

    assert (told["moved"], told["gone"]) == (3, 1)
    current = {
        found.name: read(found.current)
        for found in StoredObject.objects.all()
        if found.current is not None
    }
    assert current == {
        "kept": b"kept",
        "changed": b"a newer one",
        "new": b"quite new",
    }
    assert len(names_in(storages["new"], "tenants")) == 4


def of_files(settings: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings.STORAGES = {
        name: store_entry("files", tmp_path, request)
        for name in ("default", "new", "other")
    }


def test_of_two_moves_to_different_stores_the_later_goes_on(
    user: User, settings: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    of_files(settings, tmp_path, request)
    for name in ("a", "b"):
        put(user, b"content", name)
    moving.choose(user.tenant, "new")
    first = moving.move(user.tenant, "new")
    assert next(first)["moved"] == 2

    moving.choose(user.tenant, "other")
    second = moving.move(user.tenant, "other")
    assert next(second)["moved"] == 2

    with pytest.raises(moving.ChosenElse, match="store is other by now"):
        next(first)
    assert list(second) == []
    assert set(Version.objects.values_list("store", flat=True)) == {"other"}


def test_what_a_move_is_copying_goes_nowhere_once_another_store_is_chosen(
    user: User,
    settings: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_files(settings, tmp_path, request)
    version = put(user, b"content")
    copy = moving._copy

    def choose_meanwhile(*args: Any) -> None:
        copy(*args)
        moving.choose(user.tenant, "other")

    monkeypatch.setattr(moving, "_copy", choose_meanwhile)
    with pytest.raises(CommandError, match="store is other by now") as caught:
        move()

    assert caught.value.returncode == 1
    there = Version.objects.get()
    assert (there.store, there.key) == ("default", version.key)
    assert names_in(storages["new"], "tenants") == []
    monkeypatch.undo()
    # The other one was killed, and this is called again.
    assert move()["moved"] == 1
    assert read(Version.objects.get()) == b"content"


@pytest.mark.usefixtures("stores")
def test_two_moves_to_one_store_both_end(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        put(user, b"content", name)
    copy, others = moving._copy, list[dict[str, int]]()

    def move_meanwhile(*args: Any) -> None:
        copy(*args)
        if not others:
            others.append({})
            others[0] |= move()

    monkeypatch.setattr(moving, "_copy", move_meanwhile)

    told = move()

    assert (told["gone"], others[0]["moved"]) == (2, 2)
    assert set(Version.objects.values_list("store", flat=True)) == {"new"}
    assert len(names_in(storages["new"], "tenants")) == 2


@pytest.mark.usefixtures("stores")
def test_what_was_damaged_on_its_way_is_not_moved(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(user, b"content")
    Path(version.storage.path(version.key)).write_bytes(b"c0ntent")

    with pytest.raises(CommandError) as caught:
        move()

    assert caught.value.returncode == 1
    version.refresh_from_db()
    assert version.store == "default"
    assert names_in(storages["new"], "tenants") == []


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("stores", [("files", "grid")], indirect=True)
def test_a_copy_is_read_back_whole_whatever_its_size(user: User, settings: Any) -> None:
    settings.READ_BACK_BYTES = 0
    put(user, os.urandom(33 << 20))

    with requests_sent() as sent:
        assert move()["moved"] == 1

    read = [line for line in sent if line.startswith("GET /uri/") and "CHK" in line]
    assert len(read) == 1


@pytest.mark.usefixtures("stores")
def test_a_dry_run_changes_nothing(user: User) -> None:
    put(user, b"content")

    assert move("--dry-run") == {"versions": 1, "bytes": 7, "under way": 0}
    assert Version.objects.get().store == "default"
    assert Tenant.objects.get(slug="acme").store == "default"


@pytest.mark.usefixtures("stores", "user")
def test_only_stores_that_the_operator_names_are_taken() -> None:
    for alias in ("staticfiles", "s3://elsewhere", "NEW"):
        with pytest.raises(CommandError, match="There is no store"):
            call_command("tenant_move", "acme", alias)
        with pytest.raises(ValidationError):
            Tenant(name="x", slug="x", store=alias).full_clean()


def test_moved_twice_a_key_is_no_longer(user: User) -> None:
    version = put(user, b"content", "n" * 250)
    key = version.key

    version.key = once = moved_key(version)
    twice = moved_key(version)

    assert once != twice
    assert len(twice) == len(once) <= MAX_KEY
    assert read_key(twice) == read_key(key)


@pytest.mark.usefixtures("stores")
def test_what_was_moved_and_then_purged_does_not_come_back(user: User) -> None:
    put(user, b"content")
    move()
    StoredObject.objects.update(deleted_at=timezone.now() - timedelta(days=4000))

    assert purging.purge().objects == 1

    assert names_in(storages["default"], "tenants") == []
    assert names_in(storages["new"], "tenants") == []
    sweep("--force")
    assert not StoredObject.objects.exists()
    assert not Copy.objects.exists()


@pytest.mark.usefixtures("stores")
def test_what_a_killed_move_had_copied_goes_with_the_version(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(user, b"content")

    def kill(*args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(moving, "point", kill)
        with pytest.raises(Killed):
            move()
    assert len(names_in(storages["new"], "tenants")) == 1
    StoredObject.objects.all().delete()

    sweep("--force", age="24")
    assert len(names_in(storages["new"], "tenants")) == 1
    sweep("--force")

    assert names_in(storages["new"], "tenants") == []
    assert not Copy.objects.exists()


@pytest.mark.usefixtures("stores")
def test_a_database_from_before_a_move_loses_nothing(user: User) -> None:
    version = put(user, b"content")
    move()
    sweep()
    assert names_in(storages["default"], "tenants") == []
    # As a copy of the database from before the move would have it.
    Version.objects.update(store="default", key=version.key, moved_at=None)
    Copy.objects.all().delete()

    # It is missing in its own store until the other one is looked at.
    sweep(status=1)

    moved = Version.objects.get()
    assert (moved.store, moved.missing_since) == ("new", None)
    assert read(moved) == b"content"
    assert sweep()["found"] == {}
    assert Tenant.objects.get(pk=user.tenant_id).used_bytes == 7


@pytest.mark.usefixtures("stores")
def test_a_copy_that_differs_from_its_row_is_left_alone(user: User) -> None:
    version = put(user, b"content")
    move()
    sweep()
    moved = Version.objects.get()
    Path(storages["new"].path(moved.key)).write_bytes(b"c0ntent")
    Version.objects.update(store="default", key=version.key, moved_at=None)
    Copy.objects.all().delete()

    sweep(status=1)

    assert Version.objects.get().missing_since is not None
    assert names_in(storages["new"], "tenants") == [moved.key]
