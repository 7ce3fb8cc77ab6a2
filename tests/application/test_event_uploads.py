"""Photos and slides that come to an event in parts, and many that come in one form."""

from __future__ import annotations

import io
from typing import Any, NoReturn

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from events import access, arriving, organising
from events.access import EVENTS
from events.models import Arrival, Event, Part, Session, Speaker
from objects.models import StoredObject, Version
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    KINDS,
    Callers,
)
from tests.application.launches import MAY_EDIT, URL, browser_of, launch
from tests.application.site import image
from tests.application.stores import read
from tests.application.test_tus import metadata, patch, tus
from uploads import finishing
from uploads.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def event(callers: Callers) -> Event:
    return launch(callers)


def begin(browser: Client, name: str, size: int, path: str = "uploads/") -> Any:
    """Begin an upload as the script of the page does."""
    browser.cookies["csrftoken"] = token = "t" * 32
    return tus(
        browser,
        "POST",
        URL + path,
        upload_length=size,
        upload_metadata=metadata(filename=name, folder="elsewhere"),
        x_csrftoken=token,
    )


def send(browser: Client, name: str, content: bytes, path: str = "uploads/") -> Any:
    """Upload a file in two parts; return the last response."""
    begun = begin(browser, name, len(content), path)
    assert begun.status_code == 201, begun.content
    half = len(content) // 2
    assert patch(begun["Location"], 0, content[:half]).status_code == 204
    return patch(begun["Location"], half, content[half:])


def file_of(part: Part) -> StoredObject:
    assert part.media is not None
    return part.media


def content(found: StoredObject) -> bytes:
    assert found.current is not None
    return read(found.current)


def test_what_comes_in_parts_becomes_the_events(callers: Callers, event: Event) -> None:
    browser = browser_of(callers, EDITOR)

    assert send(browser, "plan.pdf", b"%PDF plan").status_code == 204
    assert send(browser, "Ada.png", image("PNG")).status_code == 204
    assert send(browser, "plan.pdf", b"another").status_code == 204

    first, second = event.sessions.all()
    assert [first.title, second.title] == ["plan", "plan"]
    speaker = event.speakers.get()
    assert (speaker.name, file_of(speaker).path) == (
        "Ada",
        "events/launch/photos/Ada.png",
    )
    assert file_of(first).path == "events/launch/slides/plan.pdf"
    assert file_of(second).path == "events/launch/slides/plan-2.pdf"
    assert content(file_of(second)) == b"another"
    # As whatever an editor sends: it is the event's owner's.
    assert file_of(first).owner == callers[ADMINISTRATOR].user
    found = file_of(first).pk
    assert callers[EDITOR].api.get(f"/api/v1/objects/{found}/").status_code == 404
    assert not Arrival.objects.exists()


def test_whoever_sent_it_is_told_so_again(callers: Callers, event: Event) -> None:
    browser = browser_of(callers, EDITOR)
    begun = begin(browser, "plan.pdf", 4)
    assert patch(begun["Location"], 0, b"%PDF").status_code == 204

    # The response was lost: a script asks how far it is, and would begin anew at 404.
    again = tus(browser, "HEAD", begun["Location"])

    assert (again.status_code, again["Upload-Offset"]) == (200, "4")


def test_a_file_in_parts_is_the_newest_version_of_a_part_that_has_one(
    callers: Callers, event: Event
) -> None:
    owner = browser_of(callers, ADMINISTRATOR)
    send(owner, "plan.pdf", b"%PDF plan")
    session = event.sessions.get()
    found = file_of(session)

    sent = send(
        browser_of(callers, EDITOR),
        "Plan of all.txt",
        b"other",
        f"sessions/{session.pk}/upload/",
    )

    assert sent.status_code == 204, sent.content
    session = event.sessions.get()
    assert file_of(session) == found
    assert file_of(session).name == "Plan of all.txt"
    assert content(file_of(session)) == b"other"
    assert [version.number for version in found.versions.all()] == [2, 1]
    assert StoredObject.objects.filter(folder="events/launch/slides").count() == 1


def test_of_two_first_files_the_one_that_ends_last_stays(
    callers: Callers, event: Event
) -> None:
    session = Session.objects.create(event=event, title="Opening")
    browser, path = browser_of(callers, EDITOR), f"sessions/{session.pk}/upload/"
    urls = [
        begin(browser, name, 4, path)["Location"] for name in ("one.pdf", "two.pdf")
    ]

    for url in urls:
        assert patch(url, 0, b"%PDF").status_code == 204

    assert file_of(event.sessions.get()).name == "two.pdf"
    # In the event's files there is no other, which nobody could delete there.
    slides = StoredObject.objects.filter(folder="events/launch/slides")
    states = {one.name: one.state for one in slides}
    assert states == {"one.pdf": "deleted", "two.pdf": "stored"}


def test_what_ends_after_a_later_file_does_not_give_its_name(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, EDITOR)
    send(browser, "plan.pdf", b"%PDF")
    session = event.sessions.get()
    path = f"sessions/{session.pk}/upload/"
    slow = begin(browser, "big.pptx", 4, path)["Location"]
    assert send(browser, "final.pdf", b"%PDF final", path).status_code == 204

    assert patch(slow, 0, b"pptx").status_code == 204

    found = file_of(event.sessions.get())
    assert (found.name, content(found)) == ("final.pdf", b"%PDF final")
    assert [version.number for version in found.versions.all()] == [3, 2, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_edit_the_event_may_send_it_files(
    callers: Callers, event: Event, kind: str
) -> None:
    browser = browser_of(callers, kind)
    speaker = Speaker.objects.create(event=event, name="Ada")

    for path in ("uploads/", f"speakers/{speaker.pk}/upload/"):
        begun = begin(browser, "plan.pdf", 4, path)
        assert (begun.status_code == 201) is (kind in MAY_EDIT)
    sent = browser.post(
        f"{URL}files/", {"files": [SimpleUploadedFile("plan.pdf", b"%PDF")]}
    )
    assert event.sessions.exists() is (kind in MAY_EDIT)
    assert (sent.status_code == 302 and sent["Location"] == URL) is (kind in MAY_EDIT)


def test_who_lost_the_event_meanwhile_sends_it_nothing(
    callers: Callers, event: Event
) -> None:
    begun = begin(browser_of(callers, EDITOR), "plan.pdf", 4)
    EVENTS.revoke(event, callers[EDITOR].user, actor=None)
    assert not access.allows(callers[EDITOR].user, event)

    sent = patch(begun["Location"], 0, b"%PDF")

    assert sent.status_code == 404
    assert not event.sessions.exists()


@pytest.mark.parametrize("what", ["event", "part"])
def test_what_was_deleted_meanwhile_gets_no_file(
    callers: Callers, event: Event, what: str
) -> None:
    session = Session.objects.create(event=event, title="Opening")
    path = f"sessions/{session.pk}/upload/"
    begun = begin(browser_of(callers, EDITOR), "plan.pdf", 4, path)
    owner = callers[ADMINISTRATOR].user
    if what == "event":
        organising.delete(event, owner)
    else:
        organising.delete_part(session, owner)

    sent = patch(begun["Location"], 0, b"%PDF")

    assert sent.status_code in {403, 404}
    # What nobody goes on with is there until it expires.
    stored = StoredObject.objects.filter(current__isnull=False)
    assert not stored.filter(folder="events/launch/slides").exists()


def test_nothing_begins_for_an_event_that_was_deleted_a_moment_ago(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = access.find

    def late(*args: Any) -> Event:
        found = find(*args)
        organising.delete(Event.objects.get(), callers[ADMINISTRATOR].user)
        return found

    monkeypatch.setattr(access, "find", late)
    begun = begin(browser_of(callers, EDITOR), "plan.pdf", 4)

    assert begun.status_code == 404
    assert not StoredObject.objects.filter(folder="events/launch/slides").exists()
    assert not Upload.objects.exists()


@pytest.mark.parametrize("has_slides", [False, True])
def test_an_event_is_locked_before_its_tenant(
    callers: Callers, event: Event, has_slides: bool
) -> None:
    # As by whoever ends a file: in another order the two would wait for each other.
    session = None
    if has_slides:
        send(browser_of(callers, EDITOR), "plan.pdf", b"%PDF")
        session = event.sessions.select_related("slides_object").get()

    with CaptureQueriesContext(connection) as queries:
        user = callers[EDITOR].user
        arriving.begin(event, session, user=user, size=4, name="other.pdf")

    sent = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert 'FROM "events_event"' in sent[0]
    assert any('UPDATE "accounts_tenant"' in one for one in sent[1:])


def test_a_file_for_an_inactive_owner_stays_the_editors(
    callers: Callers, event: Event
) -> None:
    User.objects.filter(pk=callers[ADMINISTRATOR].user.pk).update(is_active=False)
    browser = browser_of(callers, EDITOR)

    assert send(browser, "plan.pdf", b"%PDF plan").status_code == 204
    files = {"files": SimpleUploadedFile("form.pdf", b"%PDF")}
    browser.post(f"{URL}files/", files)

    sessions = event.sessions.select_related("slides_object__current")
    assert [session.title for session in sessions] == ["plan", "form"]
    for session in sessions:
        assert file_of(session).owner == callers[EDITOR].user


def test_a_photo_in_parts_that_is_none_is_refused(
    callers: Callers, event: Event
) -> None:
    sent = send(browser_of(callers, EDITOR), "me.jpg", b"This is no image at all.")

    assert sent.status_code == 422
    assert "no JPEG, PNG, GIF or WebP" in sent.json()["detail"]
    assert not event.speakers.exists()
    assert not Version.objects.filter(object__folder="events/launch/photos").exists()
    assert not Upload.objects.exists()


class Broken(io.BytesIO):
    """A file of a store that is away by the time it is read."""

    def read(self, size: int | None = -1) -> NoReturn:
        raise OSError("the store is away")


def test_a_photo_is_checked_again_once_the_store_is_back(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = image("PNG")
    begun = begin(browser_of(callers, EDITOR), "Ada.png", len(photo))
    patch(begun["Location"], 0, photo[:9])

    verify = arriving.ForEvents.verify

    def breaking(self: arriving.ForEvents, version: Version) -> None:
        with monkeypatch.context() as patched:
            store = type(storages["default"])
            patched.setattr(store, "_open", lambda *args: Broken(photo))
            verify(self, version)

    with monkeypatch.context() as patched:
        patched.setattr(arriving.ForEvents, "verify", breaking)
        sent = patch(begun["Location"], 9, photo[9:])

    assert sent.status_code == 503, sent.content
    upload = Upload.objects.get()
    assert [part.size for part in upload.parts.all()] == [9, len(photo) - 9]
    Upload.objects.update(leased_until=None)
    upload.refresh_from_db()
    finishing.finish_if_complete(upload)
    assert content(file_of(event.speakers.get())) == photo


def test_files_of_one_form_become_the_events_each(
    callers: Callers, event: Event
) -> None:
    files = [
        SimpleUploadedFile("Ada.png", image("PNG")),
        SimpleUploadedFile("plan.pdf", b"%PDF"),
        SimpleUploadedFile("me.jpg", b"This is no image at all."),
    ]

    page = browser_of(callers, EDITOR).post(
        f"{URL}files/", {"files": files}, follow=True
    )

    assert "2 files are uploaded." in page.text
    assert "“me.jpg” was not uploaded. The file is no JPEG" in page.text
    assert event.speakers.get().name == "Ada"
    assert event.sessions.get().title == "plan"
    assert file_of(event.sessions.get()).owner == callers[ADMINISTRATOR].user
