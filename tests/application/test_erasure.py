"""A person's data go on request, and what cannot go now goes with the next attempt."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import erasure
from accounts.erasure import erase
from accounts.models import Tenant, User
from accounts.tokenversions import version_of
from audit.actions import Action
from audit.models import Entry
from audit.recording import record
from events import documents
from exports import importing, starting
from exports.models import Export
from jobs.models import Job
from jobs.running import claim, run, run_waiting
from objects import adopting, changing, purging, storing
from objects.incoming import IncomingFile
from objects.models import Copy, StoredObject, UserPermission, Version
from pages import thumbnails
from pages.models import Thumbnail
from sharing.models import ShareLink
from tests.application.callers import ADMINISTRATOR, EDITOR, VIEWER, Callers
from tests.application.filling import picture
from tests.application.stores import names_in
from uploads import finishing
from uploads.leases import acquire, expiry
from uploads.models import Upload, UploadPart


def put(user: User, name: str, content: bytes = b"content") -> StoredObject:
    file = IncomingFile(io.BytesIO(content), len(content), "text/plain")
    return storing.store(
        file, tenant=user.tenant, user=user, folder="papers", name=name
    ).object


def used(callers: Callers) -> tuple[int, int]:
    tenant = Tenant.objects.get(pk=callers.tenant.pk)
    assert (tenant.reserved_bytes, tenant.reserved_objects) == (0, 0)
    return tenant.used_bytes, tenant.used_objects


def test_all_of_a_persons_goes_and_the_audit_keeps_a_number(
    callers: Callers, capsys: pytest.CaptureFixture[str]
) -> None:
    user, other = callers[ADMINISTRATOR].user, callers[EDITOR].user
    others = put(other, "others.txt", b"stays")
    left = used(callers)[0] - callers.object.size
    put(user, "plan.txt", b"a second version")
    put(user, "deleted.txt")
    StoredObject.objects.filter(name="deleted.txt").update(deleted_at=timezone.now())
    ShareLink.objects.create(
        object=others, created_by=user, expires_at=timezone.now(), token_sha256="0" * 64
    )
    LogEntry.objects.log_actions(other.pk, [user], CHANGE, single_object=True)
    callers[ADMINISTRATOR].api.post("/api/v1/tokens/revoke/")
    keys = list(Version.objects.exclude(object=others).values_list("store", "key"))
    assert len(keys) == 3

    call_command("erase_user", user.username, "--no-input")

    told = capsys.readouterr().out
    assert told.startswith(f"Erased user {user.pk}, 2 objects, 3 versions and ")
    assert not User.objects.filter(pk=user.pk).exists()
    assert list(StoredObject.objects.all()) == [others]
    assert not any(storages[store].exists(key) for store, key in keys)
    assert used(callers) == (left, 1)
    assert not ShareLink.objects.exists()
    assert not UserPermission.objects.filter(user_id=user.pk).exists()
    assert callers[ADMINISTRATOR].api.get("/api/v1/users/me/").status_code == 401
    entries = Entry.objects.filter(actor_id=user.pk) | Entry.objects.filter(
        target_type="user", target_id=str(user.pk)
    )
    assert entries.filter(action="user.erase").exists()
    everything = str(list(Entry.objects.values())) + str(
        list(LogEntry.objects.values())
    )
    assert user.username not in everything.replace("tenant_administrator", "")
    assert "plan.txt" not in everything


def test_what_the_store_does_not_delete_goes_with_the_next_attempt(
    callers: Callers,
) -> None:
    user = callers[ADMINISTRATOR].user
    version = Version.objects.get()
    away = mock.patch.object(
        type(version.storage), "delete", side_effect=OSError("the store is away")
    )
    with away, pytest.raises(CommandError, match="run it again"):
        call_command("erase_user", str(user.pk), "--no-input")

    user.refresh_from_db()
    assert not user.is_active
    assert (
        callers[VIEWER].api.get(f"/api/v1/objects/{callers.object.pk}/").status_code
        == 404
    )

    call_command("erase_user", str(user.pk), "--no-input")

    assert not User.objects.filter(pk=user.pk).exists()
    assert not version.storage.exists(version.key)


def test_an_upload_that_is_on_its_way_is_waited_for(callers: Callers) -> None:
    user = callers[ADMINISTRATOR].user
    begun = storing.begin(
        tenant=callers.tenant,
        user=callers[EDITOR].user,
        folder=callers.object.folder,
        name=callers.object.name,
        size=5,
        content_type="text/plain",
    )

    assert erase(user).left == [f"object {callers.object.pk}"]
    assert User.objects.filter(pk=user.pk, is_active=False).exists()

    storing.abandon(begun)
    assert erase(user).left == []
    assert used(callers) == (0, 0)


def test_what_was_given_up_goes_and_is_counted_rightly(callers: Callers) -> None:
    user = callers[ADMINISTRATOR].user
    begun = storing.begin(
        tenant=callers.tenant,
        user=callers[EDITOR].user,
        folder=callers.object.folder,
        name=callers.object.name,
        size=500,
        content_type="text/plain",
    )
    away = mock.patch.object(
        type(begun.storage), "delete", side_effect=OSError("the store is away")
    )
    with away:
        storing.abandon(begun)
        assert Version.objects.get(pk=begun.pk).state == Version.State.GIVEN_UP
        assert erase(user).left == [f"object {callers.object.pk}"]

    assert erase(user).left == []
    assert used(callers) == (0, 0)


def test_versions_in_others_objects_stay_and_say_no_more_by_whom(
    callers: Callers,
) -> None:
    put(callers[EDITOR].user, "plan.txt", b"by the editor")

    erase(callers[EDITOR].user)

    version = Version.objects.get(number=2)
    assert (version.state, version.created_by) == ("stored", None)
    assert version.storage.exists(version.key)


def test_an_operator_is_asked(callers: Callers) -> None:
    asked = mock.patch("builtins.input", return_value="somebody")
    with asked, pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_user", VIEWER)

    assert User.objects.filter(username=VIEWER, is_active=True).exists()


def names_in_the_audit() -> str:
    return str(list(Entry.objects.values()))


def test_no_name_stays_in_the_audit_of_what_went_at_the_first_attempt(
    callers: Callers,
) -> None:
    user = callers[ADMINISTRATOR].user
    put(user, "first.txt")
    begun = storing.begin(
        tenant=callers.tenant,
        user=callers[EDITOR].user,
        folder=callers.object.folder,
        name=callers.object.name,
        size=5,
        content_type="text/plain",
    )
    assert erase(user).objects == 1
    assert "first.txt" not in names_in_the_audit()
    storing.abandon(begun)

    assert erase(user).left == []

    for name in ("first.txt", "plan.txt"):
        assert name not in names_in_the_audit()


def test_no_name_stays_in_the_audit_of_what_had_gone_before(callers: Callers) -> None:
    user, other = callers[ADMINISTRATOR].user, callers[EDITOR].user
    put(user, "purged.txt")
    put(user, "given.txt")
    StoredObject.objects.filter(name="given.txt").update(owner=other)
    StoredObject.objects.filter(name="purged.txt").update(
        deleted_at=timezone.now() - timedelta(days=1000)
    )
    assert purging.purge().objects == 1
    begun = Upload.objects.create(
        kind=Upload.Kind.TUS,
        version=storing.begin(
            tenant=user.tenant,
            user=user,
            folder="papers",
            name="given-up.txt",
            size=5,
            content_type="text/plain",
        ),
        user=user,
        user_version=version_of(user),
        store="default",
        size=5,
        expires_at=expiry(),
    )
    finishing.terminate(begun, actor=user)
    assert "given-up.txt" in names_in_the_audit()
    # Of another's object, which was purged later.
    theirs = put(other, "contract.pdf")
    record(
        Action.UPLOAD_GIVE_UP, theirs, tenant_id=user.tenant_id, actor=user, version=2
    )
    theirs.versions.all().delete()
    StoredObject.objects.filter(pk=theirs.pk).delete()
    export = starting.start_folder(user, "letters of ann")
    # As when its time is over.
    Export.objects.filter(pk=export.pk).delete()

    assert erase(user).left == []

    assert "purged.txt" not in names_in_the_audit()
    assert "given-up.txt" not in names_in_the_audit()
    assert "letters of ann" not in names_in_the_audit()
    assert "given.txt" in names_in_the_audit()
    assert "contract.pdf" in names_in_the_audit()


def purged(found: StoredObject) -> None:
    """Let the object be gone for good."""
    old = timezone.now() - timedelta(days=1000)
    StoredObject.objects.filter(pk=found.pk).update(deleted_at=old)
    assert purging.purge().objects == 1


def begun_as(user: User, name: str) -> Version:
    return storing.begin(
        tenant=user.tenant,
        user=user,
        folder="",
        name=name,
        size=7,
        content_type="text/plain",
    )


@pytest.mark.usefixtures("own_store")
def test_no_name_stays_of_what_a_sweep_recovered_and_was_purged(user: User) -> None:
    """Of a database from before the upload, which knows no word of it."""
    version = begun_as(user, "cv-of-ann.txt")
    storing.save(version, IncomingFile(io.BytesIO(b"content"), 7, "text/plain"))
    StoredObject.objects.all().delete()
    Tenant.objects.update(reserved_bytes=0, reserved_objects=0)
    assert adopting.adopt(version.store, version.key)
    purged(StoredObject.objects.get(owner=user))
    assert "cv-of-ann.txt" in names_in_the_audit()

    assert erase(user).left == []

    assert "cv-of-ann.txt" not in names_in_the_audit()


def test_no_name_stays_of_what_was_renamed_and_then_given_up(user: User) -> None:
    version = begun_as(user, "secret-of-ann.txt")
    changing.rename(version.object_id, actor=user, name="plain.txt")
    # As a sweep does, of an upload that died.
    storing.abandon(version)
    assert not StoredObject.objects.exists()
    assert "secret-of-ann.txt" in names_in_the_audit()

    assert erase(user).left == []

    assert "secret-of-ann.txt" not in names_in_the_audit()
    assert "plain.txt" not in names_in_the_audit()


def test_no_name_stays_of_what_they_began_and_another_stored_first(
    user: User,
) -> None:
    bob = User.objects.create_user("bob", tenant=user.tenant)
    version = begun_as(user, "diagnosis-of-ann.txt")
    content = IncomingFile(io.BytesIO(b"content"), 7, "text/plain")
    replaced = storing.replace(
        content, version.object, user=bob, may_edit=lambda *who: True
    )
    storing.abandon(version)
    theirs = put(bob, "bobs.txt")
    for found in (replaced.object, theirs):
        purged(found)

    assert erase(user).left == []

    assert "diagnosis-of-ann.txt" not in names_in_the_audit()
    assert "bobs.txt" in names_in_the_audit()


def test_an_upload_that_fails_is_not_in_the_audit(user: User) -> None:
    storing.abandon(begun_as(user, "ann.txt"))

    assert not Entry.objects.exists()


def test_thumbnails_go_with_what_they_show(callers: Callers) -> None:
    user = callers[ADMINISTRATOR].user
    version = put(user, "ann.jpg", picture(1)).current
    assert version is not None
    thumbnails.ask(version)
    assert thumbnails.make(str(version.pk))
    shown = Thumbnail.objects.get()
    delete = type(shown.storage).delete

    def away(storage: Any, name: str) -> None:
        if name == shown.key:
            raise OSError("the store is away")
        delete(storage, name)

    with mock.patch.object(type(shown.storage), "delete", away):
        left = erase(user).left
    assert left == [f"thumbnails of object {version.object_id}"]

    assert erase(user).left == []

    assert not shown.storage.exists(shown.key)
    assert not Thumbnail.objects.exists()


def test_an_import_that_runs_is_stopped_and_waited_for(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(user, f"{number}.txt")
    export = starting.start_folder(user, "papers")
    run_waiting()
    export.refresh_from_db()
    job = importing.start_import(user, export)
    # Of somebody else's, so that erasing the user leaves it.
    bob = User.objects.create_user("bob", tenant=user.tenant)
    Export.objects.update(owner=bob)
    User.objects.filter(pk=user.pk).update(is_administrator=True)
    waits = importing.start_import(user, export)
    work = claim(job.pk)
    assert work is not None
    store, left = storing.store, list[list[str]]()

    def erase_meanwhile(*args: Any, **kwargs: Any) -> Version:
        if not left:
            left.append(erase(user).left)
            work.renew()
        return store(*args, **kwargs)

    monkeypatch.setattr(storing, "store", erase_meanwhile)
    run(work)

    assert left == [[f"job {job.pk}"]]
    states = dict(Job.objects.filter(owner=user).values_list("pk", "state"))
    assert [states[one.pk] for one in (job, waits)] == ["cancelled", "cancelled"]
    assert erase(user).left == []
    assert not StoredObject.objects.exists()


def test_what_comes_while_the_rest_is_erased_is_left_and_named(user: User) -> None:
    put(user, "first.txt")
    erase_object, late = erasure._erase_object, list[StoredObject]()

    def store_another(*args: Any) -> None:
        erase_object(*args)
        # Of a request that asked for the user just before the erasure began.
        with mock.patch.object(storing, "_check_since"):
            if not late:
                late.append(put(user, "late.txt"))

    with mock.patch.object(erasure, "_erase_object", store_another):
        assert erase(user).left == [f"object {late[0].pk}"]

    assert User.objects.filter(pk=user.pk).exists()
    assert erase(user).left == []
    assert not StoredObject.objects.exists()


@pytest.mark.usefixtures("own_store")
@pytest.mark.parametrize("is_known", [True, False])
def test_nothing_of_an_erased_person_lies_in_quarantine(
    user: User, is_known: bool
) -> None:
    """Whether the sweep finds a dead process's upload after the erasure, or before."""
    file = IncomingFile(io.BytesIO(b"content"), 7, "text/plain")
    begun = storing.begin(
        tenant=user.tenant,
        user=user,
        folder="",
        name="ann.txt",
        size=7,
        content_type="text/plain",
    )
    storing.save(begun, file)
    if is_known:
        assert erase(user).left == [f"object {begun.object_id}"]
    else:
        User.objects.filter(pk=user.pk).update(is_active=False)
    call_command("objects_sweep", older_than=0, force=True, stdout=io.StringIO())
    assert len(names_in(begun.storage, "quarantine")) == (0 if is_known else 1)

    assert erase(user).left == []

    assert not names_in(begun.storage, "quarantine")
    assert not names_in(begun.storage, "tenants")


def test_a_quarantine_that_is_away_is_looked_at_later(user: User) -> None:
    away = mock.patch.object(
        type(storages["default"]), "listdir", side_effect=OSError("away")
    )
    with away:
        assert erase(user).left == ["quarantine of store default"]

    assert erase(user).left == []


@pytest.mark.usefixtures("own_store")
def test_what_a_slow_process_still_writes_brings_nobody_back(user: User) -> None:
    version = storing.begin(
        tenant=user.tenant,
        user=user,
        folder="",
        name="ann.txt",
        size=7,
        content_type="text/plain",
    )
    upload = Upload.objects.create(
        kind=Upload.Kind.TUS,
        version=version,
        user=user,
        store=version.store,
        user_version=version_of(user),
        size=7,
        offset=7,
        expires_at=expiry(),
    )
    part = upload.storage.save("uploads/part", ContentFile(b"content"))
    UploadPart.objects.create(upload=upload, start=0, size=7, is_kept=True, key=part)
    slow = acquire(upload)
    finishing._claim(slow, version)
    slow.release()
    finishing.finish_if_complete(Upload.objects.get())
    assert StoredObject.objects.get().state == "stored"
    assert erase(user).left == []

    version.storage.save(version.key, ContentFile(b"content"))
    Copy.objects.update(noted_at=timezone.now() - timedelta(days=2))
    call_command("objects_sweep", older_than=0, force=True, stdout=io.StringIO())

    assert not StoredObject.objects.exists()
    assert not version.storage.exists(version.key)


def test_archives_of_others_with_their_files_are_named(
    user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    bob = User.objects.create_user("bob", tenant=user.tenant, is_administrator=True)
    file = StoredObject.objects.filter(pk=put(user, "plan.txt").pk)
    file.update(folder="papers/2026")

    def photo() -> IncomingFile:
        return IncomingFile(io.BytesIO(b"photo"), 5, "image/jpeg")

    description = {
        "name": "Day",
        "starts_at": "2026-11-29T09:00:00+00:00",
        "place": "Hall",
        "speakers": [{"name": "Ann", "photo": "ann.jpg"}],
    }
    events = [
        documents.create(user.tenant, owner, description, {"ann.jpg": photo})
        for owner in (user, bob)
    ]
    bobs = storing.store(
        IncomingFile(io.BytesIO(b"x"), 1),
        tenant=bob.tenant,
        user=bob,
        folder="papers/2025",
        name="bobs.txt",
    )
    folders = ("papers", "papers/2026", "", "papers/2025", "events/day-2")
    made = {folder: starting.start_folder(bob, folder) for folder in folders}
    shown, others = (starting.start_event(bob, event) for event in events)
    starting.start_folder(user, "papers")
    run_waiting()
    assert set(Export.objects.values_list("state", flat=True)) == {"ready"}
    before = starting.start_folder(bob, "papers/2025")
    run_waiting()
    older = timezone.now() - timedelta(days=9)
    Export.objects.filter(pk=before.pk).update(ready_at=older, folder="papers/2026")

    call_command("erase_user", user.username, "--no-input")

    told = capsys.readouterr().out.splitlines()
    expected = [made["papers"], made["papers/2026"], made[""], shown]
    assert [line.partition(": export ")[2][:36] for line in told[:-1]] == [
        str(export.pk) for export in expected
    ]
    assert Export.objects.filter(pk=others.pk).exists()
    assert bobs.storage.exists(bobs.key)
