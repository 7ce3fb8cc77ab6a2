"""Small pictures of files: made by jobs, kept in the store, gone with the files."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db.models import F
from django.test import Client
from PIL import Image
from pytest_django.fixtures import Settings

from accounts.models import User
from events.models import Event, Speaker
from jobs import control
from jobs.models import Job
from jobs.running import claim, run, run_waiting
from jobs.starting import start
from objects.models import Version
from pages import thumbnails
from pages.models import Thumbnail
from tests.application.callers import OTHER_TENANT, Callers
from tests.application.stores import KINDS, put, store_entry

pytestmark = pytest.mark.django_db


def picture(size: tuple[int, int] = (1200, 800)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, "teal").save(content, "JPEG")
    return content.getvalue()


def browser_of(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def address(version: Version) -> str:
    return f"/files/{version.object_id}/thumbnail/?v={version.number}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_gets_a_small_one_in_its_store(
    kind: str,
    user: User,
    settings: Settings,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "here": store_entry(kind, tmp_path, request),
    }
    user.tenant.store = "here"
    user.tenant.save()
    version = put(user, picture(), "a.jpg")
    browser = browser_of(user)

    first = browser.get(address(version))
    assert first.headers["Location"].endswith("/waiting.svg")
    assert first.headers["Cache-Control"] == "no-store"
    assert thumbnails.make(str(version.pk))
    response = browser.get(address(version))

    shown = Image.open(io.BytesIO(b"".join(response.streaming_content)))  # type: ignore[attr-defined]
    assert shown.size == (384, 256)
    assert response.headers["Content-Type"] == "image/webp"
    assert "max-age=604800" in response.headers["Cache-Control"]
    assert storages["here"].exists(Thumbnail.objects.get().key)


def test_many_looks_start_one_job(user: User) -> None:
    version, browser = put(user, picture(), "a.jpg"), browser_of(user)

    for _ in range(5):
        browser.get(address(version))
    assert Job.objects.filter(kind=thumbnails.KIND).count() == 1

    # A job that came to nothing is not the last.
    found = Thumbnail.objects.get()
    Thumbnail.objects.update(
        asked_at=found.asked_at - thumbnails.AGAIN - timedelta(seconds=1)
    )
    for _ in range(5):
        browser.get(address(version))
    assert Job.objects.filter(kind=thumbnails.KIND).count() == 2


def test_what_is_no_picture_gets_none(user: User) -> None:
    version, browser = put(user, b"no picture", "a.jpg"), browser_of(user)
    browser.get(address(version))

    assert not thumbnails.make(str(version.pk))

    assert browser.get(address(version)).headers["Location"].endswith("/picture.svg")
    assert Job.objects.count() == 1
    assert browser.get(address(put(user, b"text", "a.txt"))).status_code == 404


def test_a_job_that_runs_twice_leaves_one(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(user, picture(), "a.jpg")
    thumbnails.ask(version)
    save = thumbnails._save

    def killed(*args: Any) -> None:
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(thumbnails, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        thumbnails.make(str(version.pk))
    first = Thumbnail.objects.get().key
    assert version.storage.exists(first)
    monkeypatch.undo()

    assert thumbnails.make(str(version.pk))
    assert not thumbnails.make(str(version.pk))

    found = Thumbnail.objects.get()
    assert found.key != first
    assert version.storage.exists(found.key)
    assert not version.storage.exists(first)


def test_it_goes_after_its_version(user: User) -> None:
    version = put(user, picture(), "a.jpg")
    thumbnails.ask(version)
    thumbnails.make(str(version.pk))
    key, storage = Thumbnail.objects.get().key, version.storage

    assert thumbnails.delete_left() == 0
    version.object.current = None
    version.object.save()
    version.delete()

    assert storage.exists(key)
    assert thumbnails.delete_left() == 1
    assert not storage.exists(key)
    assert not Thumbnail.objects.exists()


def test_who_cancels_the_job_that_deletes_them_stops_it(
    user: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "here": memory}
    for key in ("a.webp", "b.webp"):
        Thumbnail.objects.create(store="here", key=key)
    job = start("pages.delete_thumbnails")
    work, delete = claim(job.pk), storages["here"].delete
    assert work is not None

    def delete_and_cancel(name: str) -> None:
        delete(name)
        control.cancel(job, actor=None)
        work.renew()

    monkeypatch.setattr(storages["here"], "delete", delete_and_cancel)
    run(work)

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert Thumbnail.objects.count() == 1


def test_it_is_made_anew_where_its_version_was_moved_to(
    user: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "there": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    version = put(user, picture(), "a.jpg")
    thumbnails.ask(version)
    thumbnails.make(str(version.pk))
    key, storage = Thumbnail.objects.get().key, version.storage
    Version.objects.update(store="there")
    gone = Thumbnail.objects.create(store="removed", key="a.webp")

    assert thumbnails.delete_left() == 1
    version.refresh_from_db()
    found = thumbnails.ask(version)

    assert not storage.exists(key)
    assert found.store == "there"
    # A store that is away, or not there any more, stops nothing.
    assert Thumbnail.objects.filter(pk=gone.pk).exists()
    assert "removed" in caplog.text


def test_one_that_is_lost_is_made_anew(user: User) -> None:
    version, browser = put(user, picture(), "a.jpg"), browser_of(user)
    browser.get(address(version))
    thumbnails.make(str(version.pk))
    version.storage.delete(Thumbnail.objects.get().key)

    assert browser.get(address(version)).headers["Location"].endswith("/picture.svg")
    assert browser.get(address(version)).headers["Location"].endswith("/waiting.svg")
    assert thumbnails.make(str(version.pk))

    assert browser.get(address(version)).status_code == 200
    assert Job.objects.filter(kind=thumbnails.KIND).count() == 2


def test_a_file_whose_bytes_are_missing_gets_none_until_they_are_back(
    user: User,
) -> None:
    version, browser = put(user, picture(), "a.jpg"), browser_of(user)
    version.storage.delete(version.key)
    browser.get(address(version))

    run_waiting()

    job = Job.objects.get()
    assert (job.state, job.attempts) == ("done", 1)
    Thumbnail.objects.update(asked_at=F("asked_at") - 2 * thumbnails.AGAIN)
    assert browser.get(address(version)).headers["Location"].endswith("/picture.svg")
    assert Job.objects.count() == 1
    version.storage.save(version.key, ContentFile(picture()))
    Thumbnail.objects.update(asked_at=F("asked_at") - timedelta(hours=1))
    assert browser.get(address(version)).headers["Location"].endswith("/waiting.svg")
    run_waiting()
    assert browser.get(address(version)).status_code == 200
    assert Job.objects.count() == 2


def test_another_tenants_is_not_there(callers: Callers) -> None:
    version = put(callers["administrator"].user, picture(), "a.jpg")

    response = browser_of(callers[OTHER_TENANT].user).get(address(version))

    assert response.status_code == 404
    assert not Thumbnail.objects.exists()


def test_an_event_shows_small_photos_to_whoever_may_see_it(user: User) -> None:
    photo = put(user, picture(), "ada.jpg").object
    event = Event.objects.create(
        tenant=user.tenant,
        owner=user,
        name="Day",
        slug="day",
        starts_at="2026-05-01T10:00Z",
    )
    speaker = Speaker.objects.create(event=event, name="Ada", photo_object=photo)
    visitor, path = Client(), speaker.get_thumbnail_url()

    assert visitor.get(path).status_code == 404
    assert not Job.objects.exists()
    Event.objects.update(published=True)
    page = visitor.get("/events/day/").text
    assert path in page
    assert not Job.objects.exists(), "only who sees a picture has it made"
    assert visitor.get(path).headers["Location"].endswith("/waiting.svg")
    assert thumbnails.make(str(photo.current_id))

    response = visitor.get(path)
    assert response.headers["Content-Type"] == "image/webp"
    assert response.headers["Cache-Control"] == "private, max-age=300"
    put(user, picture((9, 9)), "ada.jpg")
    photo.refresh_from_db()
    assert Speaker.objects.get().get_thumbnail_url() != path
