"""Exports: made by jobs into a store, once and whole, fetched by who may, and gone."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import F, QuerySet
from django.test import Client
from django.utils import timezone

from accounts import erasure
from accounts.models import Tenant, User
from audit.models import Entry
from exports import (
    access,
    archive,
    checking,
    importing,
    manifest,
    packed,
    places,
    removing,
    retention,
    running,
    sources,
    starting,
    telling,
)
from exports.models import Export
from jobs import control
from jobs.models import Job
from jobs.running import claim, run, run_waiting
from jobs.starting import start
from jobs.work import Work
from objects import changing
from tahoestorage.backends.s3.unfinished import unfinished
from tests.application.callers import client_of
from tests.application.stores import KINDS, damage_saves, names_in, put, store_entry

pytestmark = pytest.mark.django_db
CONTENTS = {
    ("papers", "plan.txt"): b"First the foundation.",
    ("papers/2026", "plan.txt"): b"Then the roof." * 100_000,
    ("papers/2026", "CON"): b"reserved",
    ("papers", "Plan.TXT"): b"",
}


@pytest.fixture(params=["files"])
def storage(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Any:
    settings.STORAGES = {"default": store_entry(request.param, tmp_path, request)}
    return storages["default"]


on_each_store = pytest.mark.parametrize("storage", KINDS, indirect=True)


def fill(user: User) -> None:
    for (folder, name), content in CONTENTS.items():
        put(user, content, name, folder)
    put(user, b"elsewhere", "other.txt", "papers-of-others")


def exported(user: User, folder: str = "papers") -> Export:
    export = starting.start_folder(user, folder)
    run_waiting()
    export.refresh_from_db()
    return export


def content_of(export: Export) -> bytes:
    with storages[export.store].open(export.key) as file:
        return bytes(file.read())


def files_in(export: Export) -> dict[tuple[str, str], bytes]:
    """Return the files of the archive by the places that the manifest says."""
    with zipfile.ZipFile(io.BytesIO(content_of(export))) as zipped:
        assert zipped.testzip() is None
        said = json.loads(zipped.read("manifest.json"))
        return {
            (one["folder"], one["name"]): zipped.read(one["path"])
            for one in said["files"]
        }


def test_whoever_accepts_only_an_archive_gets_it(user: User) -> None:
    fill(user)
    export = exported(user)
    api, url = client_of(user), f"/api/v1/exports/{export.pk}/"
    only = {"Accept": "application/zip"}

    archive = api.get(f"{url}content/", headers=only)

    assert archive.status_code == 200
    assert b"".join(archive) == content_of(export)
    assert api.get(url, headers=only).status_code == 406


def audited(export: Export) -> list[str]:
    """Return what was written down of the export, in that order."""
    entries = Entry.objects.filter(target_type="export", target_id=str(export.pk))
    return list(entries.order_by("pk").values_list("action", flat=True))


def counts(tenant: Tenant) -> tuple[int, int]:
    tenant.refresh_from_db()
    return tenant.used_bytes, tenant.reserved_bytes


@on_each_store
def test_a_folder_is_exported_into_the_store(user: User, storage: Any) -> None:
    fill(user)
    before = counts(user.tenant)[0]

    export = exported(user)

    assert (export.state, export.error) == ("ready", "")
    assert files_in(export) == {
        (folder.removeprefix("papers").lstrip("/"), name): content
        for (folder, name), content in CONTENTS.items()
    }
    content = content_of(export)
    assert (export.size, export.files) == (len(content), 4)
    assert export.sha256 == hashlib.sha256(content).hexdigest()
    assert names_in(storage, "exports") == [f"exports/folder/{export.pk}.zip"]
    assert counts(user.tenant) == (before + export.size, 0)
    assert audited(export) == ["export.start", "export.ready"]


@pytest.mark.parametrize("storage", ["s3"], indirect=True)
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_large_one_goes_in_parts_of_which_none_is_left(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    content = b"Twenty megabytes. " * 1_200_000
    put(user, content, "large.txt", "papers")
    before = counts(user.tenant)[0]
    put_part, progress = type(storage).put_part, Work.progress
    sent: list[int] = []

    def put_one(storage: Any, name: str, upload: str, number: int, body: Any) -> Any:
        sent.append(number)
        return put_part(storage, name, upload, number, body)

    def cancel_meanwhile(self: Work, done: int, of: int = 0) -> None:
        if is_cancelled and done > 10_000_000:
            control.cancel(Job.objects.get(), actor=user)
            self.renew()
        progress(self, done, of)

    monkeypatch.setattr(type(storage), "put_part", put_one)
    monkeypatch.setattr(Work, "progress", cancel_meanwhile)
    export = exported(user)

    assert sorted(sent)[:1] == [1]
    assert list(unfinished(storage)) == []
    if is_cancelled:
        assert (export.state, names_in(storage, "exports")) == ("cancelled", [])
        assert counts(user.tenant) == (before, 0)
    else:
        assert (export.state, export.error) == ("ready", "")
        assert files_in(export) == {("", "large.txt"): content}


def test_it_has_what_its_owner_may_see(user: User, storage: Any) -> None:
    fill(user)
    other = User.objects.create_user("bob", tenant=user.tenant)
    put(other, b"hidden", "hidden.txt", "papers")

    assert ("", "hidden.txt") not in files_in(exported(user))


def test_the_newest_versions_are_in_it_and_nothing_deleted(
    user: User, storage: Any
) -> None:
    put(user, b"old", "a.txt", "papers")
    put(user, b"new", "a.txt", "papers")
    gone = put(user, b"gone", "gone.txt", "papers").object
    changing.delete(gone.pk, actor=user)

    assert files_in(exported(user)) == {("", "a.txt"): b"new"}


def test_a_file_that_is_damaged_ends_it_and_nothing_is_left(
    user: User, storage: Any
) -> None:
    fill(user)
    version = put(user, b"whole", "z.txt", "papers")
    storage.delete(version.key)
    storage.save(version.key, ContentFile(b"wrong"))
    before = counts(user.tenant)

    export = exported(user)

    assert export.state == "failed"
    assert "files/z.txt is damaged" in export.error
    assert names_in(storage, "exports") == []
    assert counts(user.tenant) == before


def test_one_that_the_store_damages_is_not_ready(
    user: User, storage: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOBS_ATTEMPTS = 1
    fill(user)
    before = counts(user.tenant)
    damage_saves(storage, monkeypatch, 100)

    export = exported(user)

    assert export.state == "failed"
    assert names_in(storage, "exports") == []
    assert counts(user.tenant) == before


def test_a_file_that_went_meanwhile_ends_it(user: User, storage: Any) -> None:
    version = put(user, b"content", "a.txt", "papers")
    storage.delete(version.key)

    error = exported(user).error
    assert error.startswith("files/a.txt is missing in its store.")
    assert "restore it or delete it" in error


def test_an_empty_folder_is_said_to_be_empty(user: User, storage: Any) -> None:
    export = exported(user, "nothing")

    assert (export.state, names_in(storage, "exports")) == ("failed", [])
    assert "no files" in export.error


def test_rows_come_in_pieces_and_none_is_lost_between_two(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done for 100,000 files, with pieces of 2 and just as many files as go."""
    for module in (packed, sources):
        monkeypatch.setattr(module, "BLOCK", 2)
    monkeypatch.setattr(manifest, "LINES", 2)
    for module in (archive, checking):
        monkeypatch.setattr(module, "MAX_MEMBERS", 7)
    contents = {("", f"{n}.txt"): b"x" * n for n in range(5)}
    contents |= {("sub", "0.txt"): b"below", ("SUB", "0.TXT"): b"below it, too"}
    for (inside, name), content in contents.items():
        put(user, content, name, f"papers/{inside}".rstrip("/"))
    iterated, iterator = list[int](), QuerySet.iterator

    def note(self: Any, chunk_size: int | None = None) -> Any:
        iterated.append(chunk_size or 0)
        return iterator(self, chunk_size)

    monkeypatch.setattr(QuerySet, "iterator", note)

    export = exported(user)

    assert 2 in iterated
    assert (export.state, export.files) == ("ready", 7)
    assert files_in(export) == contents
    job = importing.start_import(user, export)
    run_waiting()
    job.refresh_from_db()
    assert (job.error, (job.result or {})["files"]) == ("", 7)


def test_a_manifest_that_no_import_would_take_is_not_made(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    monkeypatch.setattr(manifest, "MAX_SIZE", 200)

    export = exported(user)

    assert (export.state, export.attempts) == ("failed", 0)
    assert "so long names" in export.error
    assert names_in(storage, "exports") == []


def test_a_folder_of_too_many_files_says_what_to_do(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)

    export = exported(user)

    assert (export.state, names_in(storage, "exports")) == ("failed", [])
    assert export.error.startswith("There are more than 3 files.")
    assert "move some of its files" in export.error


def test_the_quota_counts_it_beforehand(user: User, storage: Any) -> None:
    fill(user)
    used = counts(user.tenant)[0]
    Tenant.objects.update(max_bytes=used + 1000)

    export = exported(user)

    assert export.state == "failed"
    assert "no room" in export.error
    assert (names_in(storage, "exports"), counts(user.tenant)) == ([], (used, 0))
    assert audited(export) == ["export.start", "export.fail"]


def test_one_that_waits_is_cancelled_at_once(user: User, storage: Any) -> None:
    fill(user)
    export = starting.start_folder(user, "papers")

    assert starting.cancel(export, actor=user)

    assert run_waiting() == 0
    export.refresh_from_db()
    assert (export.state, names_in(storage, "exports")) == ("cancelled", [])
    assert not starting.cancel(export, actor=user)
    assert audited(export) == ["export.start", "export.cancel"]
    entry = Entry.objects.get(action="job.cancel", target_id=str(export.job_id))
    assert entry.actor_id == user.pk


@on_each_store
@pytest.mark.parametrize("moment", ["it is sent", "it was sent", "it is settled"])
def test_one_that_runs_is_cancelled_and_leaves_nothing(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    fill(user)
    before = counts(user.tenant)
    export = starting.start_folder(user, "papers")
    progress, settle, send = Work.progress, running._settle, running._is_sent
    works: list[Work] = []

    def cancel() -> None:
        control.cancel(Job.objects.get(), actor=user)

    def cancel_meanwhile(self: Work, done: int, of: int = 0) -> None:
        works.append(self)
        if moment == "it is sent" and done > 1000:
            cancel()
            self.renew()
        progress(self, done, of)

    def sent_then(*args: Any) -> bool:
        is_whole = send(*args)
        if moment == "it was sent":
            cancel()
            works[-1].renew()
        return is_whole

    def cancel_then(*args: Any) -> Export:
        if moment == "it is settled":
            assert names_in(storage, "exports") == [export.path]
            cancel()
        return settle(*args)

    monkeypatch.setattr(Work, "progress", cancel_meanwhile)
    monkeypatch.setattr(running, "_is_sent", sent_then)
    monkeypatch.setattr(running, "_settle", cancel_then)
    run_waiting()

    export.refresh_from_db()
    assert (export.state, names_in(storage, "exports")) == ("cancelled", [])
    assert counts(user.tenant) == before
    assert audited(export) == ["export.start", "export.cancel"]


def killed(export: Export, storage: Any, attempt: int) -> None:
    """Leave what a worker leaves that was killed while it wrote."""
    work = claim(export.job_id)
    assert work is not None
    rows = Export.objects.select_related("owner__tenant", "tenant", "event")
    found = running.begin(rows.get(pk=export.pk), 1000, 1, work)
    assert found.attempts == attempt
    storage.save(found.key, ContentFile(b"the half of it"))
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


@on_each_store
def test_a_killed_attempt_is_followed_by_another_and_one_file_stays(
    user: User, storage: Any
) -> None:
    fill(user)
    before = counts(user.tenant)[0]
    export = starting.start_folder(user, "papers")
    killed(export, storage, 1)
    killed(export, storage, 2)

    run_waiting()

    export.refresh_from_db()
    assert (export.state, export.attempts) == ("ready", 3)
    assert names_in(storage, "exports") == [f"exports/folder/{export.pk}-3.zip"]
    assert len(files_in(export)) == 4
    assert counts(user.tenant) == (before + export.size, 0)


def test_a_worker_that_comes_too_late_spoils_nothing(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is another's by now, which is done with it: what it wrote stays."""
    fill(user)
    export = starting.start_folder(user, "papers")
    late = claim()
    assert late is not None
    save = storage.save

    def save_late(name: str, content: Any) -> Any:
        monkeypatch.setattr(storage, "save", save)
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        run_waiting()
        return save(name, content)

    monkeypatch.setattr(storage, "save", save_late)
    run(late)

    export.refresh_from_db()
    assert (export.state, export.attempts) == ("ready", 2)
    assert names_in(storage, "exports") == [f"exports/folder/{export.pk}-2.zip"]
    assert len(files_in(export)) == 4
    assert Entry.objects.filter(action="export.ready").count() == 1


def test_one_that_was_ready_when_its_worker_was_killed_stays(
    user: User, storage: Any
) -> None:
    fill(user)
    export = exported(user)
    # The worker was killed between the two.
    now = timezone.now()
    # An ended job has no turn any more.
    Job.objects.update(state="running", lease_until=now, finished_at=None, turn=0)

    assert run_waiting() == 1

    export.refresh_from_db()
    assert (export.state, export.attempts) == ("ready", 1)
    assert Job.objects.get().state == "done"
    assert len(files_in(export)) == 4


def test_a_store_that_is_away_is_tried_again(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    save = storage.save

    def fail(name: str, content: Any) -> Any:
        content.read(10)
        save(name, ContentFile(b"the half of it"))
        monkeypatch.setattr(storage, "save", save)
        raise OSError("The disk is full.")

    monkeypatch.setattr(storage, "save", fail)
    export = exported(user)
    assert (export.state, names_in(storage, "exports")) == ("pending", [])

    Job.objects.update(due_at=timezone.now())
    run_waiting()

    export.refresh_from_db()
    assert (export.state, export.attempts) == ("ready", 2)


def test_given_up_after_many_attempts_it_has_failed(user: User, storage: Any) -> None:
    fill(user)
    before = counts(user.tenant)
    export = starting.start_folder(user, "papers")
    killed(export, storage, 1)
    Job.objects.update(attempts=99)
    from jobs import sweeping

    sweeping.sweep()

    export.refresh_from_db()
    assert (export.state, counts(user.tenant)) == ("failed", before)
    assert export.error
    assert audited(export) == ["export.start", "export.fail"]
    # What the killed one left goes once nobody can write to it any more.
    removing.tidy()
    assert len(names_in(storage, "exports")) == 1
    Job.objects.update(finished_at=timezone.now() - removing.LATE)
    assert removing.tidy().exports == 1
    assert names_in(storage, "exports") == []
    assert removing.tidy().exports == 0


def aged(export: Export, days: int, **changes: Any) -> Export:
    then = timezone.now() - timedelta(days=days)
    Export.objects.filter(pk=export.pk).update(
        ready_at=then, created_at=then, **changes
    )
    export.refresh_from_db()
    return export


def an_hour_passes() -> None:
    """Let what was deleted for its age have been so for an hour."""
    going = Export.objects.filter(going_since__isnull=False)
    going.update(going_since=F("going_since") - removing.GRACE)


def old_exports(*options: str) -> Any:
    output = io.StringIO()
    call_command("delete_old_exports", "--json", *options, stdout=output)
    return json.loads(output.getvalue())


def test_old_exports_go_but_for_the_latest_and_pinned_ones(
    user: User, storage: Any
) -> None:
    fill(user)
    used = counts(user.tenant)[0]
    older, pinned, old, latest = (aged(exported(user), n) for n in (90, 80, 70, 60))
    starting.pin(pinned, True, actor=user)
    only = aged(exported(user, "papers-of-others"), 365)
    young = exported(user, "papers/2026")

    told = old_exports("--dry-run")
    assert (told["exports"], told["bytes"]) == (2, older.size + old.size)
    assert Export.objects.count() == 6
    whole = counts(user.tenant), sorted(names_in(storage, "exports"))
    assert old_exports() == told
    nothing = {"exports": 0, "bytes": 0, "tidied": 0, "left": 0}
    assert old_exports() == nothing
    left = [pinned, latest, only, young]
    assert set(access.visible(user)) == set(left)
    # Whoever is downloading one goes on.
    assert (counts(user.tenant), sorted(names_in(storage, "exports"))) == whole
    an_hour_passes()
    assert old_exports() == nothing | {"tidied": 2}

    assert set(Export.objects.all()) == set(left)
    assert sorted(names_in(storage, "exports")) == sorted(one.key for one in left)
    assert counts(user.tenant)[0] == used + sum(one.size for one in left)
    assert Entry.objects.filter(action="export.delete").count() == 2


def test_those_of_one_folder_by_two_people_are_two_kinds(
    user: User, storage: Any
) -> None:
    fill(user)
    bob = User.objects.create_user(
        "bob", tenant=user.tenant, is_administrator=True, password="x"
    )
    for each in (user, bob):
        aged(exported(each), 90)

    assert old_exports()["exports"] == 0


def test_how_many_stay_is_a_setting(user: User, storage: Any, settings: Any) -> None:
    fill(user)
    for days in (90, 80, 70):
        aged(exported(user), days)
    settings.EXPORT_KEEP_LATEST = 2
    assert old_exports("--dry-run")["exports"] == 1
    settings.EXPORT_KEEP_LATEST = 0
    assert old_exports("--dry-run")["exports"] == 3
    settings.EXPORT_KEEP_DAYS = 75
    assert old_exports("--dry-run")["exports"] == 2


def test_failed_and_cancelled_ones_are_shown_for_as_long(
    user: User, storage: Any
) -> None:
    failed = exported(user, "nothing")
    assert old_exports()["exports"] == 0
    Export.objects.update(created_at=timezone.now() - timedelta(days=31))

    told = {"exports": 1, "bytes": 0, "tidied": 0, "left": 0}
    assert old_exports() == told
    an_hour_passes()
    assert old_exports()["tidied"] == 1
    assert not Export.objects.filter(pk=failed.pk).exists()
    assert counts(user.tenant) == (0, 0)


def test_two_that_delete_at_once_count_it_once(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    used = counts(user.tenant)[0]
    aged(exported(user), 90)
    aged(exported(user), 80)
    old_exports()
    an_hour_passes()
    delete = storage.delete

    def delete_beside_another(name: str) -> None:
        monkeypatch.setattr(storage, "delete", delete)
        old_exports()
        delete(name)

    monkeypatch.setattr(storage, "delete", delete_beside_another)
    old_exports()

    left = Export.objects.get()
    assert counts(user.tenant)[0] == used + left.size
    assert Entry.objects.filter(action="export.delete").count() == 1


def test_what_became_the_latest_meanwhile_stays(user: User, storage: Any) -> None:
    fill(user)
    aged(exported(user), 90)
    latest = aged(exported(user), 80)
    newer = exported(user)

    def delete_beside_its_owner(_gone: Export) -> None:
        assert removing.delete(newer, actor=user)

    assert retention.delete_old(delete_beside_its_owner).exports == 1
    assert access.visible(user).get().pk == latest.pk


def test_what_the_store_does_not_delete_now_goes_later(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    used = counts(user.tenant)[0]
    export = aged(exported(user), 90)
    exported(user)
    delete = storage.delete

    def fail(name: str) -> None:
        raise OSError("away")

    monkeypatch.setattr(storage, "delete", fail)
    old_exports()
    an_hour_passes()
    with pytest.raises(CommandError, match="1 are left"):
        old_exports()
    assert not access.visible(user).filter(pk=export.pk).exists()
    # As long as it is left, each run says so.
    with pytest.raises(CommandError, match="1 are left"):
        old_exports()
    monkeypatch.setattr(storage, "delete", delete)
    call_command("delete_old_exports", stdout=io.StringIO())

    left = Export.objects.get()
    assert names_in(storage, "exports") == [left.key]
    assert counts(user.tenant)[0] == used + left.size


def test_workers_do_it_each_hour(user: User, storage: Any) -> None:
    fill(user)
    aged(exported(user), 90)
    exported(user)

    start("exports.tidy")
    run_waiting()
    assert access.visible(user).count() == 1
    an_hour_passes()
    start("exports.tidy")
    run_waiting()

    assert Export.objects.count() == 1


def test_who_cancels_that_job_stops_it(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    for days in (90, 80, 70):
        aged(exported(user), days)
    old_exports()
    an_hour_passes()
    job = start("exports.tidy")
    work, delete = claim(job.pk), storage.delete
    assert work is not None

    def delete_and_cancel(name: str) -> None:
        delete(name)
        control.cancel(job, actor=None)
        work.renew()

    monkeypatch.setattr(storage, "delete", delete_and_cancel)
    run(work)

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert Export.objects.filter(state="going").count() == 1


def test_one_that_is_deleted_is_gone_at_once_and_its_bytes_soon(
    user: User, storage: Any
) -> None:
    fill(user)
    used = counts(user.tenant)[0]
    export = exported(user)

    assert removing.delete(export, actor=user)

    assert not access.visible(user).exists()
    assert not removing.delete(export, actor=user)
    run_waiting()
    assert (names_in(storage, "exports"), Export.objects.count()) == ([], 0)
    assert counts(user.tenant) == (used, 0)


def test_one_that_is_being_made_is_not_deleted(user: User, storage: Any) -> None:
    export = starting.start_folder(user, "papers")

    assert not removing.delete(export, actor=user)


def test_the_store_is_the_tenants_choice_else_the_sites(
    user: User, settings: Any, tmp_path: Path
) -> None:
    tenant = user.tenant
    assert places.store_for(tenant) == "default"
    settings.STORAGES = {
        name: store_entry("files", tmp_path, None)  # type: ignore[arg-type]
        for name in ("default", "site", "own", "staticfiles")
    }
    settings.EXPORT_STORAGE = "site"
    assert places.store_for(tenant) == "site"
    tenant.export_store = "own"
    assert places.store_for(tenant) == "own"
    settings.EXPORT_STORES = ["site"]
    assert places.store_for(tenant) == "site"
    with pytest.raises(ValidationError, match="There are: site"):
        tenant.full_clean()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXPORT_PATH", "exports/{event}.zip"),
        ("EXPORT_PATH", "{run}/export.zip"),
        ("EXPORT_PATH", "../{run}.zip"),
        ("EXPORT_PATH", "tenants/{run}.zip"),
        ("EXPORT_PATH", "{user}/{run}.zip"),
        ("EXPORT_PATH", "x" * 100 + "{run}"),
        ("EXPORT_STORAGE", "nowhere"),
        ("EXPORT_STORES", ["nowhere"]),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(
    settings: Any, name: str, value: Any
) -> None:
    places.check_settings()
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=name):
        places.check_settings()


def test_its_owner_is_told_by_mail(
    user: User, storage: Any, settings: Any, mailoutbox: list[Any]
) -> None:
    fill(user)
    settings.MAIL_IS_SENT = True
    User.objects.update(email="ann@example.org")
    export = starting.start_folder(user, "papers", site="https://files.example.org/")
    run_waiting()

    [mail] = mailoutbox
    assert mail.to == ["ann@example.org"]
    assert f"https://files.example.org/exports/{export.pk}/" in mail.body
    expires = timezone.now() + timedelta(days=30)
    assert f"until {expires:%Y-%m-%d}" in mail.body


def test_mail_that_fails_does_not_fail_the_export(
    user: User, storage: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    settings.MAIL_IS_SENT = True
    User.objects.update(email="ann@example.org")

    def fail(*args: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(telling, "send_mail", fail)

    assert exported(user).state == "ready"


def test_what_a_person_exported_is_erased_with_them(user: User, storage: Any) -> None:
    fill(user)
    exported(user)
    starting.start_folder(user, "papers")

    assert not erasure.erase(user).left

    assert (names_in(storage, "exports"), Export.objects.count()) == ([], 0)
    assert counts(Tenant.objects.get()) == (0, 0)


def test_one_that_became_ready_since_it_was_read_goes_wholly(
    user: User, storage: Any
) -> None:
    fill(user)
    before = counts(user.tenant)
    stale = starting.start_folder(user, "papers")
    run_waiting()
    assert len(names_in(storage, "exports")) == 1

    assert removing.mark(stale, actor=None)
    assert removing.finish(stale)

    assert names_in(storage, "exports") == []
    assert counts(user.tenant) == before


def test_one_whose_commit_was_not_acknowledged_keeps_its_bytes(
    user: User, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(user)
    settle = running._settle

    def lost(*args: Any) -> Export:
        settle(*args)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(running, "_settle", lost)
    export = starting.start_folder(user, "papers")
    run_waiting()

    export.refresh_from_db()
    assert export.state == "ready"
    assert names_in(storage, "exports") == [export.key]


def test_one_whose_job_ended_without_a_word_has_failed_and_holds_no_room(
    user: User, storage: Any
) -> None:
    fill(user)
    before = counts(user.tenant)
    export = starting.start_folder(user, "papers")
    killed(export, storage, 1)
    removing.tidy()
    export.refresh_from_db()
    assert export.state == "pending"
    now = timezone.now()
    Job.objects.update(state="failed", finished_at=now, error="Something went wrong.")

    removing.tidy()

    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "Something went wrong.")
    assert counts(user.tenant) == before
    assert audited(export) == ["export.start", "export.fail"]


def test_one_whose_job_is_gone_has_failed_and_holds_no_room(
    user: User, storage: Any
) -> None:
    fill(user)
    before = counts(user.tenant)
    export = starting.start_folder(user, "papers")
    killed(export, storage, 1)
    Job.objects.all().delete()

    removing.tidy()

    export.refresh_from_db()
    assert (export.state, counts(user.tenant)) == ("failed", before)
    assert "not there any more" in export.error
    assert audited(export) == ["export.start", "export.fail"]
    Export.objects.update(created_at=timezone.now() - removing.LATE)
    removing.tidy()
    assert names_in(storage, "exports") == []


def test_an_address_that_no_event_can_have_is_not_found(user: User) -> None:
    browser = Client()
    browser.force_login(user)

    response = browser.post("/exports/start/", {"event": "a\0b"})

    assert response.status_code == 404
