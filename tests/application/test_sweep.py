"""What `objects_sweep` finds and mends, on each kind of store."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import Tenant, User
from objects import changing, mending, purging, storing, sweeping
from objects.conditions import Conditions, content_etag
from objects.defects import Defect, SweepResult
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version
from tests.application.stores import KINDS, names_in, put, read, store_entry
from tests.support.s3_storages import unfinished
from uploads.leases import expiry
from uploads.models import Upload, UploadPart

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["files"])
def storage(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Any:
    settings.STORAGES = {"default": store_entry(request.param, tmp_path, request)}
    return storages["default"]


on_each_store = pytest.mark.parametrize("storage", KINDS, indirect=True)


def sweep(*options: str, status: int = 0, age: str = "0", force: bool = True) -> Any:
    """Run the command, and return what it told. These stores have few names."""
    output = io.StringIO()
    command = ["objects_sweep", "--json", f"--older-than={age}", *options]
    command += ["--force"] if force else []
    if status:
        with pytest.raises(CommandError) as caught:
            call_command(*command, stdout=output)
        assert caught.value.returncode == status
    else:
        call_command(*command, stdout=output)
    return json.loads(output.getvalue())["default"]


def used(user: User) -> tuple[int, int, int, int]:
    tenant = Tenant.objects.get(pk=user.tenant_id)
    return (
        tenant.used_bytes,
        tenant.used_objects,
        tenant.reserved_bytes,
        tenant.reserved_objects,
    )


@on_each_store
def test_a_restored_database_costs_no_upload(user: User, storage: Any) -> None:
    before = put(user, b"first", "old.txt")
    backup = used(user)
    put(user, b"second", "old.txt")
    put(user, b"third" * 100, "new.txt", "photos/2026")
    after = used(user)
    # As a copy of the database from before the last two would have it.
    StoredObject.objects.filter(name="new.txt").delete()
    old = StoredObject.objects.get()
    old.current = before
    old.save()
    Version.objects.exclude(pk=before.pk).delete()
    Tenant.objects.update(used_bytes=backup[0], used_objects=backup[1])

    told = sweep()

    assert told["done"] == {"made a row": 2}
    new = StoredObject.objects.get(name="new.txt")
    assert (new.folder, new.owner, new.tenant) == ("photos/2026", user, user.tenant)
    assert new.current is not None
    assert read(new.current) == b"third" * 100
    old.refresh_from_db()
    assert read(old.current) == b"second"
    assert used(user) == after
    assert sweep()["found"] == {}


@on_each_store
@pytest.mark.parametrize("taken", [False, True])
def test_an_object_that_was_in_the_bin_when_the_database_was_copied_stays(
    user: User, storage: Any, taken: bool
) -> None:
    first = put(user, b"first")
    changing.delete(first.object_id, actor=user)
    nearly_over = timezone.now() - user.tenant.undo_time + timedelta(hours=1)
    StoredObject.objects.update(deleted_at=nearly_over)
    changing.undelete(first.object_id, actor=user)
    second = put(user, b"of today")
    # As a copy of the database has it from while the object was deleted.
    Version.objects.filter(pk=second.pk).delete()
    old = StoredObject.objects.get()
    old.deleted_at = nearly_over
    old.take(first)
    old.save()
    Tenant.objects.update(used_bytes=5, used_objects=1)
    if taken:
        put(user, b"another")

    assert sweep()["done"] == {"made a row": 1}
    # The next night's.
    purging.purge(timezone.now() + timedelta(hours=2))

    old.refresh_from_db()
    assert old.current is not None
    assert read(old.current) == b"of today"
    assert (old.deleted_at is not None) == taken
    assert old.versions.count() == 2
    if taken:
        assert old.deleted_at is not None
        assert old.deleted_at > nearly_over + timedelta(hours=1)
        changing.rename(
            StoredObject.objects.get(deleted_at=None).pk, actor=user, name="b.bin"
        )
        changing.undelete(old.pk, actor=user)
    assert used(user) == ((20, 2, 0, 0) if taken else (13, 1, 0, 0))


def test_bytes_from_before_a_deletion_do_not_undo_it(user: User, storage: Any) -> None:
    first, second = put(user, b"first"), put(user, b"second")
    deleted_at = timezone.now() + timedelta(seconds=2)
    StoredObject.objects.update(deleted_at=deleted_at, current=first)
    Version.objects.filter(pk=second.pk).delete()

    assert sweep()["done"] == {"made a row": 1}

    assert StoredObject.objects.get().deleted_at == deleted_at


def test_no_store_is_asked_while_an_object_is_locked(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(user, b"content")
    StoredObject.objects.all().delete()
    blocks = len(connection.savepoint_ids)
    asked = storage.get_modified_time

    def get_modified_time(name: str) -> Any:
        assert len(connection.savepoint_ids) == blocks
        return asked(name)

    monkeypatch.setattr(storage, "get_modified_time", get_modified_time)

    assert sweep()["done"] == {"made a row": 1}


@on_each_store
def test_rows_without_bytes_are_marked_and_stay(user: User, storage: Any) -> None:
    version = put(user, b"content" * 20)
    storage.delete(version.key)

    told = sweep(status=1)

    assert told["missing"] == [version.key]
    version.refresh_from_db()
    assert version.missing_since is not None
    assert version.state == Version.State.STORED
    storage.save(version.key, ContentFile(b"content" * 20))
    assert sweep()["done"] == {"found again": 1}
    version.refresh_from_db()
    assert version.missing_since is None


@on_each_store
def test_what_says_nothing_of_itself_goes_to_quarantine(
    user: User, storage: Any
) -> None:
    put(user, b"content")
    for name in ("x", "7/y", f"{user.tenant_id}/ab/z"):
        storage.save(f"tenants/{name}", ContentFile(b"stray"))
    storage.save("quarantine/2020-01-01/tenants/old", ContentFile(b"stray"))
    storage.save("elsewhere/x", ContentFile(b"not of the application's objects"))

    told = sweep()

    assert told["done"] == {"put into quarantine": 3}
    assert told["expired"] == 1
    today = f"quarantine/{timezone.now():%Y-%m-%d}"
    assert len(names_in(storage, today)) == 3
    assert names_in(storage, "quarantine") == names_in(storage, today)
    assert names_in(storage, "elsewhere") == ["elsewhere/x"]


@on_each_store
def test_parts_of_uploads_without_rows_go_to_quarantine(
    user: User, storage: Any
) -> None:
    version = begin(user, b"content", "a")
    upload = Upload.objects.create(
        kind=Upload.Kind.TUS,
        version=version,
        user=user,
        store="default",
        size=7,
        expires_at=expiry(),
    )
    known, unknown = (f"uploads/{one}/0-a" for one in (upload.id.hex, "0" * 32))
    for key in (known, unknown):
        storage.save(key, ContentFile(b"con"))
    UploadPart.objects.create(upload=upload, start=0, size=3, key=known)
    assert sweep(age="24")["found"] == {}

    assert sweep()["done"] == {"put into quarantine": 1}

    assert names_in(storage, "uploads") == [known]
    today = f"quarantine/{timezone.now():%Y-%m-%d}"
    assert names_in(storage, today) == [f"{today}/{unknown}"]


@pytest.mark.parametrize("storage", ["s3"], indirect=True)
def test_what_killed_processes_sent_in_parts_is_ended(user: User, storage: Any) -> None:
    version, killed = begin(user, b"content", "a"), begin(user, b"killed", "b")
    begun = {
        key: storage.begin_parts(key, "text/plain")
        for key in (version.key, killed.key, "tenants/gone", "elsewhere/x")
    }
    storage.put_part(killed.key, begun[killed.key], 1, b"kil")
    resumable = Upload.objects.create(
        kind=Upload.Kind.TUS,
        version=version,
        user=user,
        store="default",
        size=7,
        assembly=begun[version.key],
        assembly_key=version.key,
        expires_at=expiry(),
    )
    killed.delete()

    assert sweep(age="24")["found"] == {}
    told = sweep("--dry-run")
    assert told["found"] == {Defect.UNFINISHED: 2}
    assert len(unfinished(storage)) == 4
    assert sweep()["done"] == {"ended": 2}

    left = {each["Key"] for each in unfinished(storage)}
    assert left == {version.key, "elsewhere/x"}
    resumable.delete()
    assert sweep()["done"] == {"ended": 1, "given up": 1}
    assert {each["Key"] for each in unfinished(storage)} == {"elsewhere/x"}


def test_an_upload_that_was_cut_short_makes_no_row(user: User, storage: Any) -> None:
    version = put(user, b"content")
    Path(storage.path(version.key)).write_bytes(b"cont")
    StoredObject.objects.all().delete()

    assert sweep()["done"] == {"put into quarantine": 1}
    assert not Version.objects.exists()


def begin(user: User, content: bytes, name: str) -> Version:
    return storing.begin(
        tenant=user.tenant,
        user=user,
        folder="",
        name=name,
        size=len(content),
        content_type="text/plain",
    )


@on_each_store
def test_uploads_of_dead_processes_end(user: User, storage: Any) -> None:
    whole, cut = begin(user, b"whole", "whole"), begin(user, b"cut", "cut")
    storing.save(whole, IncomingFile(io.BytesIO(b"whole"), 5))
    storage.save(cut.key, ContentFile(b"c"))
    begin(user, b"nothing", "nothing")

    told = sweep()

    assert told["done"] == {"settled": 1, "given up": 2}
    assert [found.name for found in StoredObject.objects.all()] == ["whole"]
    assert read(Version.objects.get()) == b"whole"
    assert used(user) == (5, 1, 0, 0)
    assert names_in(storage, "tenants") == [whole.key]


def test_living_uploads_are_left_alone(user: User, storage: Any) -> None:
    pending = begin(user, b"content", "a")
    storage.save(pending.key, ContentFile(b"cont"))
    storage.save("tenants/stray", ContentFile(b"young"))

    told = sweep(age="24")

    assert (told["found"], told["done"]) == ({}, {})
    assert Version.objects.get().state == Version.State.PENDING


def test_a_dry_run_changes_nothing(user: User, storage: Any) -> None:
    version = put(user, b"content")
    storage.delete(version.key)
    storage.save("tenants/stray", ContentFile(b"stray"))

    told = sweep("--dry-run", status=1)

    assert told["found"] == {Defect.ORPHAN: 1, Defect.MISSING: 1}
    version.refresh_from_db()
    assert version.missing_since is None
    assert names_in(storage, "tenants") == ["tenants/stray"]


def test_where_much_is_wrong_nothing_is_done_without_force(
    user: User, storage: Any
) -> None:
    storage.save("tenants/1", ContentFile(b"stray"))

    for options in ((), ("--dry-run",)):
        assert sweep(*options, status=1, force=False)["stopped"]
    assert not names_in(storage, "quarantine")
    assert not sweep("--dry-run")["stopped"]
    assert sweep()["done"] == {"put into quarantine": 1}


def test_just_one_per_cent_is_not_much(user: User, storage: Any) -> None:
    """A test of the figure: of 1,100 names 11 may be wrong, and no more."""
    version = put(user, b"content")
    directory = version.key.rpartition("/")[0]
    rows = [
        Version(
            object=version.object,
            number=number,
            store="default",
            key=f"{directory}/{number}",
            size=4,
            state=Version.State.STORED,
        )
        for number in range(2, 1090)
    ]
    Version.objects.bulk_create(rows)
    place = Path(storage.path(directory))
    for row in rows:
        (place / str(row.number)).write_bytes(b"good")
    gone = rows[0]
    storage.delete(gone.key)
    for number in range(5):
        storage.save(f"tenants/{number}", ContentFile(b"stray"))
        storage.save(f"uploads/{number}", ContentFile(b"part"))
    storage.save("uploads/5", ContentFile(b"part"))

    told = sweep("--dry-run", status=1, force=False)

    assert (told["names"], told["stopped"]) == (1100, True)
    Version.objects.filter(pk=gone.pk).update(missing_since=timezone.now())
    # It was told before: that leaves 11.
    told = sweep("--dry-run", status=1, force=False)
    assert (told["missing"], told["stopped"]) == ([gone.key], False)


def test_two_sweeps_at_once_do_no_harm(user: User, storage: Any) -> None:
    put(user, b"content")
    StoredObject.objects.all().delete()
    Tenant.objects.update(used_bytes=0, used_objects=0)
    storage.save("tenants/stray", ContentFile(b"stray"))
    pending = begin(user, b"content", "pending")
    found = list(sweeping.find("default", timezone.now(), SweepResult()))
    assert len(found) == 3

    for one in found:
        mending.mend(one)
    for one in found:
        # What is gone by now is told, and left.
        try:
            mending.mend(one)
        except FileNotFoundError:
            assert one.key == "tenants/stray"

    assert StoredObject.objects.count() == 1
    assert not Version.objects.filter(pk=pending.pk).exists()
    assert used(user) == (7, 1, 0, 0)


def test_what_the_store_can_t_delete_now_is_given_up_later(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = begin(user, b"content", "a")
    storage.save(pending.key, ContentFile(b"cont"))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", lambda name: 1 / 0)
        storing.abandon(pending)
    assert Version.objects.get().state == Version.State.GIVEN_UP

    assert sweep(age="24")["done"] == {"given up": 1}

    assert used(user) == (0, 0, 0, 0)
    assert names_in(storage, "tenants") == []


def as_dumped_before(version: Version) -> Version:
    """Let the rows be as a dump has them that was made while the bytes came."""
    pending = Version.objects.filter(pk=version.pk)
    pending.update(state=Version.State.PENDING, sha256="")
    size = version.size or 0
    Tenant.objects.update(
        used_bytes=0, used_objects=0, reserved_bytes=size, reserved_objects=1
    )
    StoredObject.objects.update(current=None, size=0, sha256="")
    return pending.get()


@on_each_store
def test_an_upload_that_ended_after_the_dump_is_settled(
    user: User, storage: Any
) -> None:
    version = as_dumped_before(put(user, b"acknowledged"))

    assert sweep()["done"] == {"settled": 1}

    version.refresh_from_db()
    assert (version.state, read(version)) == ("stored", b"acknowledged")
    assert StoredObject.objects.get().current == version
    assert used(user) == (12, 1, 0, 0)


def test_what_somebody_refused_may_have_been_told_is_stored_is_kept_a_while(
    user: User, storage: Any
) -> None:
    version = as_dumped_before(put(user, b"acknowledged"))
    User.objects.update(is_active=False)

    assert sweep()["done"] == {"given up": 1}

    today = f"quarantine/{timezone.now():%Y-%m-%d}"
    assert names_in(storage, "quarantine") == [f"{today}/{version.key}"]
    assert used(user) == (0, 0, 0, 0)


ONLY_FIRST = Conditions(none_match=("*",))


def killed_once_stored(
    user: User, name: str, conditions: Conditions, monkeypatch: pytest.MonkeyPatch
) -> Version:
    """Store under conditions, by a process that is killed once the bytes are there."""
    with monkeypatch.context() as patch:
        patch.setattr(storing, "settle_within", lambda *_, **__: 1 / 0)
        patch.setattr(storing, "abandon", lambda version: None)
        with pytest.raises(ZeroDivisionError):
            storing.store(
                IncomingFile(io.BytesIO(b"killed"), 6),
                tenant=user.tenant,
                user=user,
                folder="b",
                name=name,
                conditions=conditions,
            )
    return Version.objects.get(state=Version.State.PENDING)


def test_what_was_to_be_the_first_is_settled_while_nothing_else_is_stored(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = killed_once_stored(user, "a.bin", ONLY_FIRST, monkeypatch)

    assert sweep()["done"] == {"settled": 1}

    assert StoredObject.objects.get().current == version
    assert used(user) == (6, 1, 0, 0)


def test_the_sweep_stores_nothing_whose_condition_may_not_hold(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = content_etag(put(user, b"seen", "a.bin"))
    edited = killed_once_stored(
        user, "a.bin", Conditions(match=(str(was),)), monkeypatch
    )
    put(user, b"others", "a.bin")
    Version.objects.filter(pk=edited.pk).update(number=9)
    assert sweep()["done"] == {"given up": 1}
    first = killed_once_stored(user, "b.bin", ONLY_FIRST, monkeypatch)
    put(user, b"others", "b.bin")

    assert sweep()["done"] == {"given up": 1}

    for found in StoredObject.objects.select_related("current"):
        assert found.current is not None
        assert read(found.current) == b"others"
    assert not Version.objects.filter(pk__in=[edited.pk, first.pk]).exists()
    today = f"quarantine/{timezone.now():%Y-%m-%d}"
    kept = {f"{today}/{version.key}" for version in (edited, first)}
    assert set(names_in(storage, "quarantine")) == kept
    assert used(user) == (16, 2, 0, 0)


@pytest.mark.parametrize("comes", [True, False])
def test_an_object_of_which_something_is_pending_has_one_place(
    user: User, storage: Any, comes: bool
) -> None:
    pending, stored = begin(user, b"first", "a"), put(user, b"second", "a", "")
    if comes:
        storage.save(pending.key, ContentFile(b"first"))
    # As a dump from between the two has it.
    StoredObject.objects.update(current=None, size=0, sha256="")
    stored.delete()
    Tenant.objects.update(
        used_bytes=0, used_objects=0, reserved_bytes=5, reserved_objects=1
    )

    assert sweep()["done"]["made a row"] == 1

    assert used(user) == (11 if comes else 6, 1, 0, 0)


def test_a_store_that_is_away_keeps_no_other_from_being_swept(
    user: User, settings: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings.STORAGES = {
        "default": store_entry("files", tmp_path, request),
        "a_first": store_entry("files", tmp_path, request),
    }
    storages["default"].save("tenants/stray", ContentFile(b"stray"))
    away = storages["a_first"]

    def listdir(path: str) -> Any:
        raise OSError("the store is away")

    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(away, "listdir", listdir)
        with pytest.raises(CommandError):
            call_command(
                "objects_sweep", "--json", "--force", "--older-than=0", stdout=output
            )

    told = json.loads(output.getvalue())
    assert told["a_first"]["error"] == "OSError: the store is away"
    assert told["default"]["done"] == {"put into quarantine": 1}
