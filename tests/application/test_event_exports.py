"""Events exported with all their files, imported again, and who may do so."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.template.defaultfilters import filesizeformat
from django.test import Client
from django.utils import timezone

from accounts.models import Tenant, User
from events import documents, organising
from events.access import EVENTS, Access
from events.models import Event
from exports import access, importing, starting
from exports.models import Export
from jobs.kinds import LeaseLost
from jobs.models import Job
from jobs.running import claim, run_waiting
from objects import changing, storing
from objects.incoming import IncomingFile
from objects.models import StoredObject
from tests.application.stores import put

pytestmark = pytest.mark.django_db
FILES = {
    "events/day/photos/ann.jpg": b"the photo of Ann",
    "events/day/photos/Ann.jpg": b"another photo",
    "events/day/slides/CON.pdf": b"slides" * 50_000,
}

UNNAMED = b'{"name": "Day", "starts_at": "2026-11-29T09:00:00+00:00"}'


def content(data: bytes) -> Any:
    return lambda: IncomingFile(io.BytesIO(data), len(data), "image/jpeg")


@pytest.fixture
def event(user: User) -> Event:
    description = {
        "name": "Storage day",
        "slug": "day",
        "starts_at": "2026-11-29T09:00:00+00:00",
        "place": "Hall 1",
        "description": "All about stores.",
        "published": True,
        "speakers": [
            {"name": "Ann", "photo": "events/day/photos/ann.jpg"},
            {"name": "Bea", "photo": "events/day/photos/Ann.jpg"},
            {"name": "Cleo", "photo": None},
        ],
        "sessions": [
            {"title": "One", "speakers": [1, 0], "slides": "events/day/slides/CON.pdf"},
            {"title": "Two", "speakers": [], "slides": None},
        ],
    }
    files = {path: content(data) for path, data in FILES.items()}
    return documents.create(user.tenant, user, description, files)


def exported(user: User, event: Event) -> Export:
    export = starting.start_event(user, event)
    run_waiting()
    export.refresh_from_db()
    return export


def imported(user: User, thing: Any) -> Job:
    job = importing.start_import(user, thing)
    run_waiting()
    job.refresh_from_db()
    return job


def members(export: Export) -> dict[str, bytes]:
    with (
        storages[export.store].open(export.key) as file,
        zipfile.ZipFile(file) as zipped,
    ):
        return {name: zipped.read(name) for name in zipped.namelist()}


def test_an_event_is_exported_with_all_its_files(user: User, event: Event) -> None:
    put(user, b"not the event's", "other.jpg", "events/day/photos")

    export = exported(user, event)

    assert (export.state, export.error) == ("ready", "")
    assert export.key == f"exports/day/{export.pk}.zip"
    found = members(export)
    said = json.loads(found.pop("manifest.json"))
    assert said["label"] == "Storage day"
    assert json.loads(found.pop("event.json")) == documents.describe(event)
    paths = {f"{one['folder']}/{one['name']}": one["path"] for one in said["files"]}
    assert {path: found.pop(inside) for path, inside in paths.items()} == FILES
    assert found == {}


def test_it_is_imported_as_a_new_event_that_is_not_published(
    user: User, event: Event
) -> None:
    export = exported(user, event)

    job = imported(user, export)

    assert (job.state, job.error) == ("done", "")
    assert job.result is not None
    new = Event.objects.get(slug=job.result["event"])
    assert new.pk != event.pk
    assert not new.published
    assert new.owner == user
    before, after = documents.describe(event), documents.describe(new)
    for each in (before, after):
        del each["slug"], each["published"]
    text = json.dumps(after).replace(f"events/{new.slug}/", "events/day/")
    assert json.loads(text) == before
    assert sorted(one.sha256 for one in documents.media(new)) == sorted(
        one.sha256 for one in documents.media(event)
    )
    # Nothing of the first one was touched, and no object is shared.
    assert {one.pk for one in documents.media(new)}.isdisjoint(
        one.pk for one in documents.media(event)
    )


def test_one_that_was_killed_when_all_was_made_makes_no_second_event(
    user: User, event: Event
) -> None:
    export = exported(user, event)
    job = imported(user, export)
    Job.objects.filter(pk=job.pk).update(
        state="running", lease_until=timezone.now(), finished_at=None, turn=0
    )

    run_waiting()

    job.refresh_from_db()
    assert job.state == "done"
    assert Event.objects.count() == 2


def test_a_long_short_name_leads_to_the_one_event(user: User, event: Event) -> None:
    """Cut, it ends in a hyphen: the name is the same when it is looked for again."""
    Event.objects.filter(pk=event.pk).update(slug=f"{'a' * 35}-bcd")
    event.refresh_from_db()
    job = imported(user, exported(user, event))
    assert job.result is not None
    found = Event.objects.get(slug=job.result["event"])
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.WAITING, finished_at=None, due_at=timezone.now(), result=None
    )

    run_waiting()

    job.refresh_from_db()
    assert job.result == {"event": found.slug, "files": len(FILES)}
    assert Event.objects.exclude(pk=event.pk).get() == found


def test_a_file_that_is_renamed_meanwhile_is_in_the_document(
    user: User, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = documents.media

    def media_after_a_rename(event: Event) -> Any:
        monkeypatch.setattr(documents, "media", media)
        photo = StoredObject.objects.get(name="ann.jpg")
        changing.rename(photo.pk, actor=user, name="anna.jpg")
        return media(event)

    monkeypatch.setattr(documents, "media", media_after_a_rename)
    export = exported(user, event)

    described = json.loads(members(export)["event.json"])
    assert described["speakers"][0]["photo"] == "events/day/photos/anna.jpg"
    assert imported(user, export).state == "done"


def test_an_event_that_is_never_the_same_is_not_exported(
    user: User, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "paths", lambda description: {"another"})

    export = exported(user, event)

    assert (export.state, export.error) == (
        "failed",
        "The files of the event are changing. Start the export again.",
    )


def test_an_uploaded_archive_is_imported_by_another_tenant(
    user: User, event: Event
) -> None:
    export = exported(user, event)
    with storages[export.store].open(export.key) as file:
        data = file.read()
    tenant = Tenant.objects.create(name="Globex", slug="globex")
    bob = User.objects.create_user("bob", tenant=tenant)
    archive = put(bob, data, "event.zip", "").object

    job = imported(bob, archive)

    assert (job.state, job.error) == ("done", "")
    assert job.result is not None
    new = Event.objects.get(slug=job.result["event"])
    assert new.tenant == tenant
    assert len(documents.media(new)) == 3


@pytest.mark.parametrize("thing", ["export", "object"])
def test_what_may_not_be_seen_is_not_imported(
    user: User, event: Event, thing: str
) -> None:
    export = exported(user, event)
    archive = put(user, members(export)["manifest.json"], "a.zip", "").object
    stranger = User.objects.create_user("stranger", tenant=user.tenant)

    job = imported(stranger, export if thing == "export" else archive)

    assert job.state == "failed"
    assert "not there" in job.error


def archive_of(user: User, changes: dict[str, bytes], export: Export) -> StoredObject:
    """Store the export once more, with other members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, data in (members(export) | changes).items():
            zipped.writestr(name, data)
    return put(user, file.getvalue(), "changed.zip", "").object


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"manifest.json": b"{}"}, "no export of this site"),
        ({"files/events/day/slides/_CON.pdf": b"x" * 300_000}, "SHA-256"),
        ({"../outside": b"x"}, "leads out"),
        ({"event.json": b'{"name": 1}'}, "description of the event"),
        ({"event.json": b"[]"}, "no JSON"),
        ({"event.json": UNNAMED}, "does not name the file “events/day/photos/"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    user: User, event: Event, changes: dict[str, bytes], said: str
) -> None:
    archive = archive_of(user, changes, exported(user, event))
    before = StoredObject.objects.count()

    job = imported(user, archive)

    assert job.state == "failed"
    assert said in job.error
    assert (StoredObject.objects.count(), Event.objects.count()) == (before, 1)


def test_without_room_nothing_is_made(user: User, event: Event) -> None:
    export = exported(user, event)
    tenant = Tenant.objects.get()
    Tenant.objects.update(max_bytes=tenant.used_bytes + 100_000)
    before = StoredObject.objects.count()

    job = imported(user, export)

    assert "no room" in job.error
    assert StoredObject.objects.count() == before
    tenant.refresh_from_db()
    assert (tenant.reserved_bytes, tenant.reserved_objects) == (0, 0)


def test_a_folder_whose_import_fails_half_way_leaves_nothing(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(user, b"content", f"{number}.txt", "papers")
    export = starting.start_folder(user, "papers")
    run_waiting()
    export.refresh_from_db()
    store, calls = storing.store, list[str]()

    def fail(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs["name"])
        if len(calls) == 3:
            raise RuntimeError("an error that nobody knew of")
        return store(*args, **kwargs)

    monkeypatch.setattr(storing, "store", fail)
    job = imported(user, export)

    assert job.state == "failed"
    made = StoredObject.objects.filter(folder__startswith=f"imported/{job.pk}")
    assert made.count() == 2
    assert not made.filter(deleted_at=None).exists()


def test_a_killed_import_goes_on_where_it_was(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(user, b"content %d" % number, f"{number}.txt", "papers")
    export = starting.start_folder(user, "papers")
    run_waiting()
    export.refresh_from_db()
    job = importing.start_import(user, export)
    work = claim(job.pk)
    assert work is not None
    store = storing.store

    class Killed(BaseException):
        pass

    def die(*args: Any, **kwargs: Any) -> Any:
        if kwargs["name"] == "2.txt":
            raise Killed
        return store(*args, **kwargs)

    monkeypatch.setattr(storing, "store", die)
    with pytest.raises(Killed):
        importing.run(work)
    monkeypatch.setattr(storing, "store", store)
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    run_waiting()

    job.refresh_from_db()
    assert job.state == "done"
    made = StoredObject.objects.filter(folder__startswith=f"imported/{job.pk}")
    assert sorted(one.name for one in made) == ["0.txt", "1.txt", "2.txt"]
    assert all(one.versions.count() == 1 for one in made)


@pytest.mark.parametrize("what", ["folder", "event"])
def test_an_import_whose_job_is_anothers_by_now_stores_nothing(
    user: User, event: Event, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = starting.start_folder(user, "events") if what == "folder" else None
    export = export or starting.start_event(user, event)
    run_waiting()
    export.refresh_from_db()
    job = importing.start_import(user, export)
    work = claim(job.pk)
    assert work is not None
    before = sorted(StoredObject.objects.values_list("pk", flat=True))
    save = storing.save

    def slowly(*args: Any) -> None:
        save(*args)
        # For longer than the lease, and it does not know yet that it has lost it.
        Job.objects.filter(pk=job.pk).update(token=uuid.uuid4())

    monkeypatch.setattr(storing, "save", slowly)
    with pytest.raises(LeaseLost):
        importing.run(work)

    assert sorted(StoredObject.objects.values_list("pk", flat=True)) == before
    assert Event.objects.count() == 1
    tenant = Tenant.objects.get()
    assert (tenant.reserved_bytes, tenant.reserved_objects) == (0, 0)


@pytest.mark.parametrize("is_made", [True, False])
def test_a_killed_import_of_an_event_leaves_no_files_without_one(
    user: User, event: Event, is_made: bool
) -> None:
    job = Job.objects.create(
        kind=importing.KIND, owner=user, tenant=user.tenant, state=Job.State.CANCELLED
    )
    slug = f"day-{job.pk.hex[:8]}"
    if is_made:
        Event.objects.filter(pk=event.pk).update(slug=slug)
    put(user, b"photo", "Ann.jpg", f"events/{slug}/photos")

    importing.end(job)

    left = StoredObject.objects.filter(folder__contains=slug, deleted_at=None)
    assert left.exists() is is_made


def test_who_may_edit_the_event_now_may_fetch_it(user: User, event: Event) -> None:
    export = exported(user, event)
    bob, eve = (User.objects.create_user(n, tenant=user.tenant) for n in ("bob", "eve"))
    EVENTS.grant(event, bob, Access.EDIT, actor=user)
    EVENTS.grant(event, eve, Access.VIEW, actor=user)

    assert access.find(bob, export.pk) == export
    assert not access.visible(eve).exists()

    EVENTS.grant(event, bob, Access.VIEW, actor=user)
    assert not access.visible(bob).exists()


def test_who_may_not_edit_it_any_more_makes_no_export(user: User, event: Event) -> None:
    bob = User.objects.create_user("bob", tenant=user.tenant)
    EVENTS.grant(event, bob, Access.EDIT, actor=user)
    export = starting.start_event(bob, event)
    EVENTS.grant(event, bob, Access.VIEW, actor=user)
    run_waiting()

    export.refresh_from_db()
    assert export.state == "failed"
    assert "may not edit" in export.error


def test_who_deletes_an_event_is_told_what_its_exports_cost(
    user: User, event: Event
) -> None:
    client = Client()
    client.force_login(user)
    url = f"/events/{event.slug}/delete/"
    assert (
        "export" not in client.get(url).text.partition("<h1>")[2].partition("</main")[0]
    )
    export = exported(user, event)
    starting.start_event(user, event)

    page = client.get(url).text

    assert "Its export stays" in page
    assert f"{filesizeformat(export.size)} count as used" in page


def test_a_deleted_events_exports_stay_with_who_made_them(
    user: User, event: Event
) -> None:
    export = exported(user, event)
    organising.delete(event, user)

    assert access.find(user, export.pk).event is None
    job = imported(user, export)
    assert job.state == "done"


def test_a_photo_that_is_deleted_is_not_missing(user: User, event: Event) -> None:
    photo = StoredObject.objects.get(name="Ann.jpg")
    changing.delete(photo.pk, actor=user)

    export = exported(user, event)

    assert export.files == 2
    assert imported(user, export).state == "done"


def test_a_file_that_is_damaged_ends_the_export(user: User, event: Event) -> None:
    version = StoredObject.objects.get(name="CON.pdf").current
    assert version is not None
    version.storage.delete(version.key)
    version.storage.save(version.key, ContentFile(b"slides" * 49_999 + b"sliced"))

    export = exported(user, event)

    assert export.state == "failed"
    assert "CON.pdf is damaged" in export.error


def test_a_file_whose_store_is_away_is_named(
    user: User, event: Event, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOBS_ATTEMPTS = 1
    key = StoredObject.objects.get(name="ann.jpg").current.key  # type: ignore[union-attr]
    storage: Any = storages["default"]
    opened = storage.open

    def fail(name: str, mode: str = "rb") -> Any:
        if name == key:
            raise OSError("its secret address is away")
        return opened(name, mode)

    monkeypatch.setattr(storage, "open", fail)
    export = exported(user, event)

    said = "could not be read: its store is away, or damaged."
    assert (export.state, export.error) == (
        "failed",
        f"files/events/day/photos/ann (2).jpg {said}",
    )
    assert Job.objects.get().error == export.error


def test_the_event_page_starts_it(user: User, event: Event) -> None:
    client = Client()
    client.force_login(user)
    page = client.get(f"/events/{event.slug}/").content.decode()
    begun = client.post("/exports/start/", {"event": event.slug}, follow=True)

    assert 'action="/exports/start/"' in page
    assert "Export of “Storage day”" in begun.content.decode()
    stranger = Client()
    stranger.force_login(User.objects.create_user("eve", tenant=user.tenant))
    page = stranger.get(f"/events/{event.slug}/").content.decode()
    assert 'action="/exports/start/"' not in page
    begun = stranger.post("/exports/start/", {"event": event.slug})
    assert begun.status_code == 404
