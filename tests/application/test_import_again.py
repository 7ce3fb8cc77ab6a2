"""An import that is begun again goes on where it was: no byte takes room twice."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Tenant, User
from events import documents
from events.models import Event
from exports import checking, importing, starting
from exports.models import Export
from jobs import control
from jobs.models import Job
from jobs.running import claim, run, run_waiting
from objects import finding, storing
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version
from tests.application.stores import put, read

pytestmark = pytest.mark.django_db
PHOTO = b"the photo of Ann and Bea"
PATHS = [f"events/day/photos/{name}.jpg" for name in ("ann", "bea", "cleo")]


class Killed(BaseException):
    """Nothing runs any more after it."""


def content(data: bytes) -> Any:
    return lambda: IncomingFile(io.BytesIO(data), len(data), "image/jpeg")


@pytest.fixture(params=["folder", "event"])
def export(request: pytest.FixtureRequest, user: User) -> Export:
    """Return one of four files; two of the event's are the same bytes."""
    if request.param == "folder":
        for number in range(4):
            put(user, b"%d" % number * 1000, f"{number}.txt", "papers")
        made = starting.start_folder(user, "papers")
    else:
        names = [("Ann", 0), ("Bea", 1), ("Cleo", 2), ("Ann again", 0)]
        description = {
            "name": "Storage day",
            "starts_at": "2026-11-29T09:00:00+00:00",
            "place": "Hall",
            "speakers": [{"name": one, "photo": PATHS[at]} for one, at in names],
        }
        contents = dict(zip(PATHS, (PHOTO, PHOTO, b"c" * 1000), strict=True))
        files = {path: content(data) for path, data in contents.items()}
        event = documents.create(user.tenant, user, description, files)
        made = starting.start_event(user, event)
    run_waiting()
    made.refresh_from_db()
    assert (made.state, made.files) == ("ready", 4)
    return made


def made_by(job: Job) -> list[StoredObject]:
    """Return what is there that the job made."""
    places = finding.below(importing._root(job))
    there = StoredObject.objects.filter(deleted_at=None)
    found = there.filter(places) | there.filter(folder__contains=importing._mark(job))
    return sorted(found, key=lambda one: one.path)


def leave_room_for_it_alone(export: Export) -> None:
    """Let the tenant have room for what is in the archive, and for nothing else."""
    sizes = StoredObject.objects.filter(deleted_at=None).values_list("size", flat=True)
    [tenant] = Tenant.objects.all()
    most = tenant.used_bytes + sum(sizes)
    Tenant.objects.update(max_bytes=most, max_objects=2 * tenant.used_objects)


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, error: Any, at: str) -> None:
    """Let that step of storing raise it, the first time that it comes to so many."""
    step, calls = getattr(storing, at), list[int]()

    def do(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            raise error
        return step(*args, **kwargs)

    monkeypatch.setattr(storing, at, do)


def check(job: Job, export: Export, made: list[StoredObject]) -> None:
    job.refresh_from_db()
    assert (job.state, job.error) == ("done", "")
    found = made_by(job)
    assert len(found) == 4
    assert {one.pk for one in made} <= {one.pk for one in found}
    assert all(one.versions.count() == 1 for one in found)
    contents = sorted(read(one.current) for one in found if one.current)
    if export.kind == "event":
        assert contents == sorted([PHOTO, PHOTO, PHOTO, b"c" * 1000])
        event = Event.objects.latest("pk")
        assert {one.pk for one in documents.media(event)} == {one.pk for one in found}
    else:
        assert contents == [b"%d" % number * 1000 for number in range(4)]
    tenant = Tenant.objects.get()
    assert (tenant.reserved_bytes, tenant.reserved_objects) == (0, 0)
    assert StoredObject.objects.count() == tenant.used_objects == 8


@pytest.mark.parametrize("at", ["store", "save", "settle_within"])
def test_one_that_was_killed_stores_the_rest_alone(
    user: User, export: Export, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    leave_room_for_it_alone(export)
    job = importing.start_import(user, export)
    work = claim(job.pk)
    assert work is not None
    # As after SIGKILL: what was under way stays as it was.
    monkeypatch.setattr(storing, "abandon", lambda version: None)
    stop_at(monkeypatch, 3, Killed(), at)
    with pytest.raises(Killed):
        importing.run(work)
    monkeypatch.undo()
    made = [one for one in made_by(job) if one.state == "stored"]
    assert len(made) == 2
    assert Version.objects.filter(state="pending").exists() is (at != "store")
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    run_waiting()

    check(job, export, made)


def test_one_whose_store_was_away_stores_the_rest_alone(
    user: User, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_room_for_it_alone(export)
    job = importing.start_import(user, export)
    stop_at(monkeypatch, 4, OSError("away"), "save")
    run_waiting()
    made = made_by(job)
    job.refresh_from_db()
    assert (job.state, len(made)) == ("waiting", 3)
    Job.objects.update(due_at=timezone.now())

    run_waiting()

    check(job, export, made)


def test_one_that_failed_and_is_tried_again_takes_back_what_it_made(
    user: User, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_room_for_it_alone(export)
    job = importing.start_import(user, export)
    stop_at(monkeypatch, 4, RuntimeError("an error that nobody knew of"), "save")
    run_waiting()
    job.refresh_from_db()
    assert (job.state, made_by(job)) == ("failed", [])
    made = list(StoredObject.objects.exclude(deleted_at=None))
    assert len(made) == 3

    assert control.try_again(job, actor=user)
    run_waiting()

    check(job, export, made)


@pytest.mark.parametrize("export", ["event"], indirect=True)
def test_what_two_attempts_stored_stays_once(user: User, export: Export) -> None:
    job = importing.start_import(user, export)
    folder = f"events/storage-day{importing._mark(job)}/photos"
    for name in ("one.jpg", "two.jpg", "three.jpg", "four.jpg"):
        put(user, PHOTO, name, folder)
    put(user, b"of somebody's own", "own.jpg", folder)

    run_waiting()

    job.refresh_from_db()
    assert job.state == "done"
    assert job.result is not None
    event = Event.objects.get(slug=job.result["event"])
    named = {one.pk for one in documents.media(event)}
    left = {one.name for one in made_by(job) if one.pk not in named}
    assert (len(named), left) == (4, {"own.jpg"})


@pytest.mark.parametrize("export", ["event"], indirect=True)
def test_what_was_changed_in_the_event_since_stays_as_it_is(
    user: User, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = importing.start_import(user, export)
    work = claim(job.pk)
    assert work is not None
    importing.run(work)  # Killed before that was written, and then given up.
    event = Event.objects.get(slug__endswith=importing._mark(job))
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED, token=None)
    unlinked = event.speakers.all()[0].media
    assert unlinked is not None
    event.speakers.filter(photo_object=unlinked).update(photo_object=None)
    put(user, PHOTO, "copy.jpg", unlinked.folder)
    before = {one.pk for one in made_by(job)}

    assert control.try_again(job, actor=user)
    run_waiting()

    job.refresh_from_db()
    assert job.state == "done"
    assert {one.pk for one in made_by(job)} == before
    assert len(before) == 5


def test_what_the_user_uploads_there_meanwhile_is_not_given_up(
    user: User, export: Export
) -> None:
    job = importing.start_import(user, export)
    folder = f"{importing._root(job)}/papers"
    if export.kind == "event":
        folder = f"events/storage-day{importing._mark(job)}/photos"
    version = storing.begin(
        tenant=user.tenant,
        user=user,
        folder=folder,
        name="own.jpg",
        size=1000,
        content_type="image/jpeg",
    )

    run_waiting()

    job.refresh_from_db()
    version.refresh_from_db()
    assert (job.state, version.state) == ("done", "pending")


@pytest.mark.parametrize("limit", ["max_bytes", "max_objects", "UPLOAD_LIMIT"])
def test_nothing_of_what_has_no_room_is_read(
    user: User,
    export: Export,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    limit: str,
) -> None:
    """An archive of a few bytes may unpack to a hundred times as many."""
    leave_room_for_it_alone(export)
    if limit == "UPLOAD_LIMIT":
        settings.UPLOAD_LIMIT = 999
    else:
        [tenant] = Tenant.objects.all()
        Tenant.objects.update(**{limit: getattr(tenant, limit) - 1})
    pieces, seen = checking._pieces, list[str]()

    def note(zipped: Any, info: Any) -> Any:
        seen.append(info.filename)
        return pieces(zipped, info)

    monkeypatch.setattr(checking, "_pieces", note)
    job = importing.start_import(user, export)

    run_waiting()

    job.refresh_from_db()
    told = "larger than a file may be" if limit == "UPLOAD_LIMIT" else "no room"
    assert job.state == "failed"
    assert told in job.error
    assert [path for path in seen if path.endswith((".txt", ".jpg"))] == []


@pytest.mark.parametrize("is_tried_again", [False, True])
def test_much_that_was_made_is_deleted_by_a_job_and_not_in_the_request(
    user: User, export: Export, monkeypatch: pytest.MonkeyPatch, is_tried_again: bool
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 1)
    job = importing.start_import(user, export)
    stop_at(monkeypatch, 3, OSError("The store is away."), "begin")
    run_waiting()
    made = made_by(job)
    job.refresh_from_db()
    assert (job.state, len(made)) == ("waiting", 2)

    assert control.cancel(job, actor=user)

    assert made_by(job) == made, "none of them in the request"
    cleared = Job.objects.get(kind=importing.CLEAR)
    if is_tried_again:
        job.refresh_from_db()
        assert control.try_again(job, actor=user)
    work = claim(cleared.pk)
    assert work is not None
    run(work)
    cleared.refresh_from_db()
    # What is tried again goes on with what it made.
    assert made_by(job) == (made if is_tried_again else [])
    assert cleared.result == {"deleted": 0 if is_tried_again else 2}
    run_waiting()
    job.refresh_from_db()
    assert job.state == ("done" if is_tried_again else "cancelled")
