"""Objects in a store that the operator does not set any more: each is told so."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Tenant, User
from events.models import Event, Session, Speaker
from jobs.models import Job
from jobs.running import run_waiting
from objects import purging
from objects.models import StoredObject, Version
from pages import thumbnails
from pages.models import Thumbnail
from sharing import links
from tests.application.callers import client_of
from tests.application.stores import put
from tests.application.test_thumbnails import picture

pytestmark = pytest.mark.django_db
GONE = "The store “cold” is not set any more."
MEMORY = {"BACKEND": "django.core.files.storage.InMemoryStorage"}


@pytest.fixture
def photo(user: User, settings: Any) -> StoredObject:
    """A photo in the store "cold", with its thumbnail."""
    settings.STORAGES = {**settings.STORAGES, "cold": MEMORY}
    Tenant.objects.update(store="cold")
    user.tenant.refresh_from_db()
    version = put(user, picture(), "ada.jpg", "photos")
    thumbnails.ask(version)
    assert thumbnails.make(str(version.pk))
    return version.object


def unset(settings: Any) -> None:
    found = {name: one for name, one in settings.STORAGES.items() if name != "cold"}
    settings.STORAGES = found


def browser_of(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def shown(user: User, photo: StoredObject) -> Event:
    """An event that shows the photo and has it as slides."""
    event = Event.objects.create(
        tenant=user.tenant,
        owner=user,
        name="Day",
        slug="day",
        starts_at="2026-05-01T10:00Z",
        published=True,
    )
    Speaker.objects.create(event=event, name="Ada", photo_object=photo)
    Session.objects.create(event=event, title="Engines", slides_object=photo)
    return event


def test_programs_are_told(user: User, photo: StoredObject, settings: Any) -> None:
    ends = timezone.now() + timedelta(days=1)
    _link, token = links.create(photo, user, expires_at=ends, max_downloads=None)
    unset(settings)
    api, url = client_of(user), f"/api/v1/objects/{photo.pk}/"
    asked = [
        api.get(f"{url}content/"),
        api.get(f"{url}versions/1/content/"),
        APIClient().get(f"/s/{token}", headers={"Accept": "application/json"}),
    ]
    page = Client().get(f"/s/{token}", headers={"Accept": "text/html"})

    for problem in asked:
        assert (problem.status_code, problem.json()["detail"]) == (503, GONE)
    assert page.status_code == 503
    assert GONE in page.text
    assert links.find(token).downloads == 0
    assert api.get(url).status_code == 200


def test_people_see_a_page(user: User, photo: StoredObject, settings: Any) -> None:
    event = shown(user, photo)
    text = put(user, b"First the foundation.", "plan.txt").object
    speaker, session = event.speakers.get(), event.sessions.get()
    unset(settings)
    browser = browser_of(user)

    for path in (
        f"/files/{photo.pk}/download/",
        f"/files/{photo.pk}/content/",
        f"/files/{photo.pk}/versions/1/",
        f"/files/{text.pk}/text/",
        speaker.get_media_url(),
        session.get_media_url(),
    ):
        page = browser.get(path)
        assert page.status_code == 503, path
        assert "whoever runs the site has to set it again" in page.text
    assert browser.get(f"/files/{photo.pk}/").status_code == 200


@pytest.mark.parametrize("public_links", [False, True])
def test_lists_and_events_are_shown_with_a_drawing(
    user: User, photo: StoredObject, settings: Any, public_links: bool
) -> None:
    settings.PUBLIC_LINKS = public_links
    event = shown(user, photo)
    unset(settings)
    browser = browser_of(user)

    assert browser.get("/files/?folder=photos").status_code == 200
    assert browser.get(event.get_absolute_url()).status_code == 200
    for path in (
        f"/files/{photo.pk}/thumbnail/?v=1",
        event.speakers.get().get_thumbnail_url(),
    ):
        assert browser.get(path).headers["Location"].endswith("/picture.svg")
    assert Thumbnail.objects.get().state == "stored", "it is there once that is set"


def test_no_thumbnail_is_tried_again_and_again(
    user: User, photo: StoredObject, settings: Any
) -> None:
    Thumbnail.objects.all().delete()
    Job.objects.all().delete()
    unset(settings)

    browser_of(user).get(f"/files/{photo.pk}/thumbnail/?v=1")
    run_waiting()

    assert [(job.state, job.attempts) for job in Job.objects.all()] == [("done", 1)]
    assert Thumbnail.objects.get().state == "missing"


def test_nothing_is_uploaded_there(
    user: User, photo: StoredObject, settings: Any
) -> None:
    unset(settings)
    before = Tenant.objects.get()
    api, url = client_of(user), "/api/v1/objects/"

    made = api.post(url, {"file": SimpleUploadedFile("roof.txt", b"Then the roof.")})
    put_there = api.put(f"{url}{photo.pk}/content/", b"x", content_type="text/plain")
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}
    begun = api.post("/api/v1/uploads/", headers=tus)

    for problem in (made, put_there, begun):
        assert (problem.status_code, problem.json()["detail"]) == (503, GONE)
    after = Tenant.objects.get()
    assert (after.reserved_bytes, after.used_bytes) == (0, before.used_bytes)
    assert list(StoredObject.objects.all()) == [photo]


def test_what_is_deleted_stays_until_it_is_set_again(
    user: User, photo: StoredObject, settings: Any
) -> None:
    StoredObject.objects.update(deleted_at=timezone.now() - timedelta(days=365))
    stores = settings.STORAGES
    unset(settings)

    assert purging.purge().failed == 1
    assert Version.objects.filter(store="cold", state="going").exists()
    settings.STORAGES = stores
    assert purging.purge().versions == 1


def test_the_sweep_names_it(
    user: User, photo: StoredObject, settings: Any, own_store: None
) -> None:
    unset(settings)
    output = io.StringIO()

    with pytest.raises(CommandError, match="Not all is well"):
        call_command("objects_sweep", "--json", stdout=output)

    told = json.loads(output.getvalue())["cold"]
    assert told["error"] == "it is not set any more, and 1 versions are in it"
