"""Organisers make and change events in pages; what visitors may see and do there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.http import Http404
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant, TenantGroup, User
from audit.models import Entry
from events import access, media, organising
from events.access import EVENTS, Access
from events.models import Event, Session, Speaker
from objects import changing, storing
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    INACTIVE,
    KINDS,
    NOBODY,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)
from tests.application.launches import MAY_EDIT, MAY_VIEW, URL, browser_of, launch
from tests.application.site import image
from tests.application.stores import read

pytestmark = pytest.mark.django_db

MAY_ADMINISTER = {ADMINISTRATOR, SUPER_TENANT}


@pytest.fixture
def event(callers: Callers) -> Event:
    return launch(callers)


def file(name: str = "plan.pdf", content: bytes = b"%PDF plan") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def add_slides(browser: Client, title: str = "Opening", **fields: Any) -> Session:
    sent = {"title": title, "slides": file(), **fields}
    response = browser.post(f"{URL}add-slides/", sent)
    assert response.status_code == 302, response.text
    return Session.objects.get(title=title)


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize("kind", KINDS)
def test_a_draft_and_its_files_are_seen_by_whom_may_see_it_alone(
    callers: Callers, event: Event, kind: str
) -> None:
    session = add_slides(browser_of(callers, ADMINISTRATOR))
    browser = browser_of(callers, kind)
    expected = 200 if kind in MAY_VIEW else 404

    listed = browser.get("/events/")
    answers = [browser.get(path) for path in (URL, session.get_media_url())]

    assert [answer.status_code for answer in answers] == [expected] * 2
    assert ("Launch" in listed.text) is (kind in MAY_VIEW)


@pytest.mark.parametrize("kind", [NOBODY, INACTIVE, STRANGER, OTHER_TENANT])
def test_a_published_one_is_seen_by_anybody_and_changed_by_nobody_else(
    callers: Callers, event: Event, kind: str
) -> None:
    session = add_slides(browser_of(callers, ADMINISTRATOR))
    Event.objects.update(published=True)
    browser = browser_of(callers, kind)

    page = browser.get(URL)
    slides = browser.get(session.get_media_url())

    assert page.status_code == slides.status_code == 200
    assert content(slides) == b"%PDF plan"
    assert slides.headers["Content-Disposition"] == 'attachment; filename="plan.pdf"'
    assert "Launch" in browser.get("/events/").text
    for word in ("edit", "delete", "add-slides"):
        assert f"{URL}{word}/" not in page.text
        refused = browser.get(f"{URL}{word}/")
        assert refused.status_code == (302 if kind in {NOBODY, INACTIVE} else 403)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "fields", "allowed"),
    [
        ("edit/", {"name": "Other", "starts_at": "2026-03-01T10:00", "place": "H"}, 1),
        ("add-photo/", {"name": "Ada"}, 1),
        ("add-slides/", {"title": "Talk"}, 1),
        ("access/", {"kind": "user", "name": "stranger", "access": "view"}, 0),
        ("delete/", {}, 2),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_who_may_change_what(
    callers: Callers,
    event: Event,
    kind: str,
    path: str,
    fields: dict[str, str],
    allowed: int,
) -> None:
    browser = browser_of(callers, kind)
    before = Entry.objects.count()

    response = browser.post(URL + path, fields)

    may = (MAY_ADMINISTER, MAY_EDIT, MAY_ADMINISTER | {TENANT_ADMINISTRATOR})[allowed]
    if kind in may:
        assert response.status_code == 302, response.text
        assert not response.headers["Location"].startswith("/accounts/")
        assert Entry.objects.count() == before + 1
        entry = Entry.objects.latest("pk")
        assert (entry.actor_id, entry.target_type) == (callers[kind].user.pk, "event")
    elif kind in {NOBODY, INACTIVE}:
        assert response.headers["Location"].startswith("/accounts/sign-in/")
    else:
        assert response.status_code == (403 if kind in MAY_VIEW else 404)
    if kind not in may:
        assert Entry.objects.count() == before
        assert Event.objects.get().name == "Launch"


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_change_speakers_sessions_files_and_grants(
    callers: Callers, event: Event, kind: str
) -> None:
    organiser = browser_of(callers, ADMINISTRATOR)
    session = add_slides(organiser)
    for name in ("Ada", "Bo"):
        organiser.post(f"{URL}add-photo/", {"name": name})
    bo, viewer = Speaker.objects.get(name="Bo"), callers[VIEWER].user.pk
    browser, last = browser_of(callers, kind), Entry.objects.latest("pk").pk
    done = set()

    for path, fields in (
        (f"speakers/{bo.pk}/edit/", {"name": "Bob"}),
        (f"speakers/{bo.pk}/move/", {"direction": "up"}),
        (f"speakers/{bo.pk}/delete/", {}),
        (f"sessions/{session.pk}/edit/", {"title": "Opening", "remove": "on"}),
        (f"sessions/{session.pk}/delete/", {}),
        ("access/revoke/", {"kind": "user", "holder": str(viewer)}),
    ):
        may = MAY_EDIT if path.startswith("s") else MAY_ADMINISTER
        with transaction.atomic():
            response = browser.post(URL + path, fields)
            entries = list(Entry.objects.filter(pk__gt=last))
            transaction.set_rollback(True)
        if kind in may:
            assert response.status_code == 302, path
            assert not response.headers["Location"].startswith("/accounts/")
            assert {one.actor_id for one in entries} == {callers[kind].user.pk}, path
            done.add(path)
        else:
            assert entries == []
            if kind in {NOBODY, INACTIVE}:
                assert response.headers["Location"].startswith("/accounts/sign-in/")
            else:
                assert response.status_code == (403 if kind in MAY_VIEW else 404), path

    assert len(done) == 5 * (kind in MAY_EDIT) + (kind in MAY_ADMINISTER)


def test_anybody_of_a_tenant_makes_events_and_administers_them(
    callers: Callers,
) -> None:
    browser = browser_of(callers, STRANGER)
    fields = {"name": "First Day", "starts_at": "2026-03-01T10:00", "place": "Hall"}

    first = browser.post("/events/new/", fields)
    second = browser.post("/events/new/", fields)

    assert first.headers["Location"] == "/events/first-day/"
    assert second.headers["Location"] == "/events/first-day-2/"
    made = Event.objects.get(slug="first-day")
    stranger = callers[STRANGER].user
    assert (made.tenant, made.owner) == (callers.tenant, stranger)
    assert access.allows(stranger, made, Access.ADMINISTER)
    assert not made.published
    assert browser_of(callers, VIEWER).get("/events/first-day/").status_code == 404


def test_what_is_missing_is_said_at_its_field(callers: Callers) -> None:
    response = browser_of(callers, STRANGER).post("/events/new/", {"name": "Day"})

    assert response.status_code == 422
    assert response.text.count("This field is required.") == 2
    # A page that is new has no live region: the focus lets it be read.
    assert 'role="alert" tabindex="-1" autofocus>' in response.text


def test_a_group_is_let_and_not_any_more(callers: Callers, event: Event) -> None:
    group = TenantGroup.objects.create(label="Crew", tenant=callers.tenant)
    callers[STRANGER].user.groups.add(group)
    owner, stranger = (browser_of(callers, one) for one in (ADMINISTRATOR, STRANGER))

    owner.post(f"{URL}access/", {"kind": "group", "name": "Crew", "access": "edit"})

    assert stranger.get(f"{URL}edit/").status_code == 200
    assert "Crew" in owner.get(f"{URL}access/").text
    owner.post(f"{URL}access/revoke/", {"kind": "group", "holder": group.pk})
    assert stranger.get(URL).status_code == 404
    actions = Entry.objects.filter(target_type="event").values_list("action", flat=True)
    assert list(actions)[:2] == ["permission.revoke", "permission.grant"]


def test_who_is_of_another_tenant_or_nobody_is_refused_alike(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, ADMINISTRATOR)
    pages = [
        browser.post(f"{URL}access/", {"kind": "user", "name": name, "access": "view"})
        for name in ("other_tenant", "no_such_user")
    ]

    assert [page.status_code for page in pages] == [422, 422]
    for page in pages:
        assert "There is no such user or group in the tenant." in page.text


def test_somebody_administers_it_to_the_end(callers: Callers, event: Event) -> None:
    owner = callers[ADMINISTRATOR].user
    browser = browser_of(callers, ADMINISTRATOR)

    page = browser.post(
        f"{URL}access/revoke/", {"kind": "user", "holder": owner.pk}, follow=True
    )

    assert "Somebody has to administer it." in page.text
    assert access.allows(owner, event, Access.ADMINISTER)


def test_who_moves_to_another_tenant_leaves_events_behind(
    callers: Callers, event: Event
) -> None:
    editor = callers[EDITOR].user
    editor.tenant = Tenant.objects.get(slug="globex")
    editor.save()
    assert not access.allows(editor, event)
    editor.tenant = callers.tenant
    editor.save()

    assert not access.allows(editor, event)


# Files.


def test_a_file_is_an_object_of_the_tenant(callers: Callers, event: Event) -> None:
    session = add_slides(browser_of(callers, EDITOR))

    found = session.slides_object
    assert found is not None
    assert found.path == "events/launch/slides/plan.pdf"
    # Whoever uploaded it: editors have it by the event, and as long as that.
    owner = callers[ADMINISTRATOR].user
    assert (found.tenant, found.owner) == (callers.tenant, owner)
    assert callers[ADMINISTRATOR].api.get(f"/api/v1/objects/{found.pk}/").data
    assert callers[EDITOR].api.get(f"/api/v1/objects/{found.pk}/").status_code == 404
    assert found.content_type == "application/pdf"
    assert Entry.objects.filter(action="object.create", target_id=found.pk).exists()
    # The pages of objects and the API ask for the object itself.
    assert callers[VIEWER].api.get(f"/api/v1/objects/{found.pk}/").status_code == 404


def test_another_file_is_a_new_version_by_whoever_edits_the_event(
    callers: Callers, event: Event
) -> None:
    session = add_slides(browser_of(callers, ADMINISTRATOR))
    other = file("Plan of all.txt", b"other")

    response = browser_of(callers, EDITOR).post(
        f"{URL}sessions/{session.pk}/edit/", {"title": "Closing", "slides": other}
    )

    assert response.status_code == 302
    session.refresh_from_db()
    found = session.slides_object
    assert found is not None
    assert found.current is not None
    assert (session.title, found.name) == ("Closing", "Plan of all.txt")
    assert read(found.current) == b"other"
    assert [version.number for version in found.versions.all()] == [2, 1]
    assert StoredObject.objects.filter(folder="events/launch/slides").count() == 1


@pytest.mark.parametrize("kind", [EDITOR, ADMINISTRATOR])
def test_an_editor_neither_publishes_nor_deletes(
    callers: Callers, event: Event, kind: str
) -> None:
    browser = browser_of(callers, kind)
    fields = {"name": "Launch", "starts_at": "2026-03-01T10:00", "place": "H"}

    page = browser.get(URL)
    response = browser.post(f"{URL}edit/", {**fields, "published": "on"})

    assert response.status_code == 302
    assert Event.objects.get().published is (kind == ADMINISTRATOR)
    assert (f"{URL}delete/" in page.text) is (kind == ADMINISTRATOR)


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00+14:00", "9999-12-31T23:59+00:00", "1066-10-14T09:00"]
)
def test_a_time_that_some_database_or_zone_cannot_tell_is_refused(
    callers: Callers, event: Event, time: str
) -> None:
    fields = {"name": "Launch", "starts_at": time, "place": "H"}

    response = browser_of(callers, ADMINISTRATOR).post(f"{URL}edit/", fields)

    assert response.status_code == 422
    assert Event.objects.get().starts_at == event.starts_at


@pytest.mark.parametrize("hour", [0, 1])
def test_what_is_not_changed_keeps_its_time_in_the_admin_too(
    callers: Callers, event: Event, hour: int
) -> None:
    user = callers[SUPER_TENANT].user
    user.time_zone = "Europe/Berlin"
    user.is_staff = user.is_superuser = True
    user.save()
    begins = datetime(2026, 10, 25, hour, 30, 10, 5, tzinfo=UTC)
    Event.objects.update(starts_at=begins)
    browser = browser_of(callers, SUPER_TENANT)
    url = f"/admin/events/event/{event.pk}/change/"
    fields = {
        "name": "Launched",
        "slug": event.slug,
        "place": "H",
        "starts_at": "2026-10-25T02:30",
        "owner": str(event.owner_id),
    }

    page = browser.get(url).text
    response = browser.post(url, fields)

    assert f'value="{fields["starts_at"]}"' in page
    assert response.status_code == 302, response.text
    found = Event.objects.get()
    assert (found.name, found.starts_at) == ("Launched", begins)


@pytest.mark.parametrize("hour", [0, 1])
def test_what_is_not_changed_keeps_its_time(
    callers: Callers, event: Event, hour: int
) -> None:
    # In that night 02:30 comes twice there.
    callers[EDITOR].user.time_zone = "Europe/Berlin"
    callers[EDITOR].user.save()
    begins = datetime(2026, 10, 25, hour, 30, 10, 5, tzinfo=UTC)
    Event.objects.update(starts_at=begins)
    browser = browser_of(callers, EDITOR)
    fields = {"name": "Launched", "place": "H", "starts_at": "2026-10-25T02:30"}

    page = browser.get(f"{URL}edit/").text
    response = browser.post(f"{URL}edit/", fields)

    assert f'value="{fields["starts_at"]}"' in page
    assert response.status_code == 302
    found = Event.objects.get()
    assert (found.name, found.starts_at) == ("Launched", begins)
    changed = Entry.objects.filter(action="event.change").latest("pk")
    assert changed.details["fields"] == "name,place"
    fields["starts_at"] = "2026-10-25T04:00"
    assert browser.post(f"{URL}edit/", fields).status_code == 302
    assert Event.objects.get().starts_at == datetime(2026, 10, 25, 3, tzinfo=UTC)


def test_an_event_takes_no_more_parts_than_a_page_shows(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(organising, "MAX_PARTS", 1)
    browser = browser_of(callers, EDITOR)

    answers = [
        browser.post(f"{URL}add-slides/", {"title": title}).status_code
        for title in ("One", "Two")
    ]

    assert answers == [302, 422]
    assert Session.objects.count() == 1


def test_two_first_files_of_a_part_leave_one_among_the_deleted(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session.objects.create(event=event, title="Talk", position=3)
    put = media.put

    def slowly(part: Any, content: Any, name: str, user: User) -> StoredObject:
        monkeypatch.setattr(media, "put", put)
        made = put(part, content, name, user)
        sent = {"title": "Talk", "slides": file("other.pdf")}
        url = f"{URL}sessions/{session.pk}/edit/"
        assert browser_of(callers, ADMINISTRATOR).post(url, sent).status_code == 302
        Session.objects.update(position=7)
        return made

    monkeypatch.setattr(media, "put", slowly)
    url, sent = f"{URL}sessions/{session.pk}/edit/", {"title": "Talk", "slides": file()}
    assert browser_of(callers, EDITOR).post(url, sent).status_code == 302

    session.refresh_from_db()
    states = {
        one.name: one.state for one in StoredObject.objects.filter(owner=event.owner)
    }
    assert session.position == 7
    assert session.slides_object is not None
    assert session.slides_object.name == "plan.pdf"
    assert (states["plan.pdf"], states["other.pdf"]) == ("stored", "deleted")


def test_the_later_of_two_files_gives_its_name(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = add_slides(browser_of(callers, EDITOR))
    url, save = f"{URL}sessions/{session.pk}/edit/", storing.save

    def slowly(version: Version, content: IncomingFile) -> None:
        monkeypatch.setattr(storing, "save", save)
        save(version, content)
        sent = {"title": "Talk", "slides": file("later.pdf", b"later")}
        assert browser_of(callers, ADMINISTRATOR).post(url, sent).status_code == 302

    monkeypatch.setattr(storing, "save", slowly)
    sent = {"title": "Talk", "slides": file("first.pdf", b"first")}
    assert browser_of(callers, EDITOR).post(url, sent).status_code == 302

    (found,) = media.of(event)
    assert found.current is not None
    assert (found.name, read(found.current)) == ("later.pdf", b"later")


@pytest.mark.parametrize("is_there", [True, False])
def test_who_lost_the_event_meanwhile_changes_no_file_of_it(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    session = add_slides(browser_of(callers, ADMINISTRATOR))
    save = storing.save

    def slowly(version: Version, content: IncomingFile) -> None:
        save(version, content)
        EVENTS.revoke(event, callers[EDITOR].user, actor=None)

    monkeypatch.setattr(storing, "save", slowly)
    response = browser_of(callers, EDITOR).post(
        URL + (f"sessions/{session.pk}/edit/" if is_there else "add-slides/"),
        {"title": "Mine", "slides": file("x.pdf")},
    )

    assert response.status_code == 403
    assert [one.name for one in media.of(event)] == ["plan.pdf"]
    assert not StoredObject.objects.filter(name="x.pdf", deleted_at=None).exists()
    assert not Session.objects.filter(title="Mine").exists()
    session.refresh_from_db()
    assert session.title == "Opening"
    assert Version.objects.filter(object=session.slides_object).count() == 1


def test_two_files_of_a_name_are_two_objects(callers: Callers, event: Event) -> None:
    browser = browser_of(callers, EDITOR)
    for title in ("One", "Two", "Three"):
        add_slides(browser, title, slides=file("same.bin", title.encode()))

    found = {}
    for session in Session.objects.select_related("slides_object__current"):
        one = session.media
        assert one is not None
        assert one.current is not None
        found[session.title] = (one.name, read(one.current))
    assert found == {
        "One": ("same.bin", b"One"),
        "Two": ("same-2.bin", b"Two"),
        "Three": ("same-3.bin", b"Three"),
    }


def test_a_file_beyond_the_quota_is_told_at_its_field(
    callers: Callers, event: Event
) -> None:
    Tenant.objects.update(max_bytes=0)

    response = browser_of(callers, EDITOR).post(
        f"{URL}add-slides/", {"title": "Opening", "slides": file()}
    )

    assert response.status_code == 422
    assert "The tenant has no room for this object." in response.text
    assert not Session.objects.exists()
    assert not StoredObject.objects.filter(folder__startswith="events").exists()


def test_an_upload_that_is_cut_short_adds_nothing(
    callers: Callers, event: Event
) -> None:
    body = encode_multipart(
        BOUNDARY, {"title": "Cut", "slides": file(content=b"x" * 1000)}
    )

    response = browser_of(callers, EDITOR).generic(
        "POST", f"{URL}add-slides/", body[:-500], MULTIPART_CONTENT
    )

    assert response.status_code == 422
    assert "The file did not arrive whole." in response.text
    assert not Session.objects.exists()


def test_a_name_that_no_store_takes_is_told(callers: Callers, event: Event) -> None:
    name = "é" * 130 + ".pdf"
    response = browser_of(callers, EDITOR).post(
        f"{URL}add-slides/", {"title": "Opening", "slides": file(name)}
    )

    assert response.status_code == 422
    assert "A name has" in response.text
    assert not Session.objects.exists()


def test_a_file_is_taken_away_and_the_deletion_undone(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, EDITOR)
    session = add_slides(browser)
    found = session.slides_object
    assert found is not None

    browser.post(
        f"{URL}sessions/{session.pk}/edit/", {"title": "Opening", "remove": "on"}
    )

    assert browser.get(session.get_media_url()).status_code == 404
    found.refresh_from_db()
    assert found.state == "deleted"
    restored = changing.undelete(found.pk, actor=callers[EDITOR].user)
    assert restored.state == "stored"


def test_a_file_that_is_deleted_as_an_object_is_not_shown_until_it_is_back(
    callers: Callers, event: Event
) -> None:
    browser, editor = browser_of(callers, EDITOR), callers[EDITOR].user
    session = add_slides(browser)
    pk = session.slides_object_id
    assert pk is not None

    changing.delete(pk, actor=editor)
    gone = browser.get(session.get_media_url()).status_code
    page = browser.get(URL)
    changing.undelete(pk, actor=editor)

    assert gone == 404
    assert "plan.pdf" not in page.text
    assert "plan.pdf" in browser.get(URL).text


def test_deleting_an_event_tells_its_files_and_deletes_them(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, ADMINISTRATOR)
    add_slides(browser, slides=file("plan.pdf", b"p" * 2000))
    browser.post(
        f"{URL}add-photo/", {"name": "Ada", "photo": file("a.png", image("PNG"))}
    )
    size = sum(one.size for one in media.of(event))

    page = browser.get(f"{URL}delete/")
    after = browser.post(f"{URL}delete/", follow=True)

    assert "its 2 files" in page.text
    assert f"{size / 1024:.1f}\xa0KB" in page.text
    assert "events/launch/slides/plan.pdf" in page.text
    assert "can be restored for 7 days" in after.text
    assert not Event.objects.exists()
    gone = StoredObject.objects.filter(folder__startswith="events/")
    assert [one.state for one in gone] == ["deleted", "deleted"]
    assert Entry.objects.filter(action="object.delete").count() == 2
    assert Entry.objects.get(action="event.delete").details == {"files": 2}
    # Their own time for undoing applies.
    for one in gone:
        assert changing.undelete(one.pk, actor=callers[EDITOR].user).state == "stored"


def test_deleting_a_speaker_deletes_the_photo_and_leaves_the_session(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, EDITOR)
    browser.post(
        f"{URL}add-photo/", {"name": "Ada", "photo": file("a.png", image("PNG"))}
    )
    ada = Speaker.objects.get()
    add_slides(browser, speakers=[ada.pk])

    page = browser.get(f"{URL}speakers/{ada.pk}/delete/")
    browser.post(f"{URL}speakers/{ada.pk}/delete/")

    assert "events/launch/photos/a.png" in page.text
    assert not Speaker.objects.exists()
    assert Session.objects.get().speakers.count() == 0
    assert StoredObject.objects.get(name="a.png").state == "deleted"


def test_speakers_and_sessions_are_put_in_order(callers: Callers, event: Event) -> None:
    browser = browser_of(callers, EDITOR)
    for name in ("Ada", "Bo", "Cy"):
        browser.post(f"{URL}add-photo/", {"name": name})
    cy = Speaker.objects.get(name="Cy")

    def move(direction: str, **headers: str) -> Any:
        return browser.post(
            f"{URL}speakers/{cy.pk}/move/", {"direction": direction}, headers=headers
        )

    assert move("up").headers["Location"] == f"{URL}#speaker-{cy.pk}"
    part = move("up", **{"HX-Request": "true"})
    move("up")

    assert list(event.speakers.values_list("name", flat=True)) == ["Cy", "Ada", "Bo"]
    assert "Cy is number 1 now." in part.text
    assert "<html" not in part.text
    assert re.search(rf'id="up-speakers-{cy.pk}"[^>]* aria-disabled', part.text)
    move("down")
    assert list(event.speakers.values_list("name", flat=True)) == ["Ada", "Cy", "Bo"]


@pytest.mark.parametrize("gone", [Event, Session])
def test_what_another_organiser_deleted_meanwhile_is_not_there(
    callers: Callers, event: Event, gone: type[Event | Session]
) -> None:
    session, actor = add_slides(browser_of(callers, EDITOR)), callers[EDITOR].user
    session.event = event
    gone._default_manager.all().delete()
    entries = Entry.objects.count()

    for act in (
        lambda: organising.move(session, 1, actor),
        lambda: organising.drop_media(session, actor),
        lambda: organising.save_part(session, actor, ["title"]),
        lambda: organising.delete_part(session, actor),
    ):
        with pytest.raises(Http404):
            act()
    if gone is Event:
        with pytest.raises(Http404):
            organising.change(event, actor, ["name"])

    assert Entry.objects.count() == entries


def test_who_takes_a_file_from_what_is_deleted_meanwhile_is_told_so(
    callers: Callers, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = browser_of(callers, EDITOR)
    session, save = add_slides(browser), organising.save_part

    def deleted_then(part: Any, *args: Any, **options: Any) -> None:
        save(part, *args, **options)
        Session.objects.all().delete()

    monkeypatch.setattr(organising, "save_part", deleted_then)

    response = browser.post(
        f"{URL}sessions/{session.pk}/edit/", {"title": "Opening", "remove": "on"}
    )

    assert response.status_code == 404


def test_a_part_is_found_by_the_address_of_its_own_event_alone(
    callers: Callers, event: Event
) -> None:
    session = add_slides(browser_of(callers, EDITOR))
    other = organising.create(
        Event(
            tenant=callers.tenant,
            name="Other",
            starts_at=datetime(2026, 3, 1, tzinfo=UTC),
        ),
        callers[STRANGER].user,
    )

    response = browser_of(callers, STRANGER).post(
        f"/events/{other.slug}/sessions/{session.pk}/delete/"
    )

    assert response.status_code == 404
    assert Session.objects.exists()


def test_the_page_takes_few_queries_whatever_it_shows(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, EDITOR)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(URL).status_code == 200
        return len(captured)

    add_slides(browser, "First")
    few = queries()
    for number in range(5):
        add_slides(browser, str(number))
        photo = file("a.png", image("PNG"))
        browser.post(f"{URL}add-photo/", {"name": str(number), "photo": photo})

    # One of them asks for news of exports, as on each page.
    assert queries() == few <= 11


def test_no_page_of_an_organiser_has_a_script_or_a_style_in_it(
    callers: Callers, event: Event
) -> None:
    browser = browser_of(callers, ADMINISTRATOR)
    session = add_slides(browser)
    pages = ["", "edit/", "access/", "delete/", "add-photo/", "add-slides/"]
    pages += [f"sessions/{session.pk}/{word}/" for word in ("edit", "delete")]
    for path in [*(URL + page for page in pages), "/events/", "/events/new/"]:
        page = browser.get(path)
        assert page.status_code == 200, path
        assert "<style" not in page.text
        assert " style=" not in page.text
        assert page.text.count("<script") == page.text.count("<script src=")


def test_a_user_who_is_erased_leaves_the_event_to_the_tenant(
    callers: Callers, event: Event
) -> None:
    from accounts.erasure import erase

    session = add_slides(browser_of(callers, ADMINISTRATOR))
    pk = callers[ADMINISTRATOR].user.pk

    erase(User.objects.get(pk=pk))

    event.refresh_from_db()
    session.refresh_from_db()
    assert event.owner is None
    assert session.slides_object is None
    assert browser_of(callers, TENANT_ADMINISTRATOR).get(URL).status_code == 200
