"""An event as a document: what it says of an event makes the same event again."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Tenant, User
from accounts.quotas import QuotaExceeded
from events import access, documents, organising
from events.access import Access
from events.models import Event, Session, Speaker
from objects.incoming import IncomingFile
from objects.models import StoredObject
from tests.application.stores import read

pytestmark = pytest.mark.django_db

PHOTO, PLAN = b"\xff\xd8 a photo", b"%PDF a plan"
DAY: dict[str, Any] = {
    "name": "Storage Day",
    "slug": "storage-day",
    "starts_at": "2026-03-01T09:30:00+00:00",
    "place": "Hall",
    "description": "All day.",
    "published": True,
    "speakers": [
        {"name": "Zoë", "photo": "photos/zoë.jpg"},
        {"name": "Ada", "photo": None},
    ],
    "sessions": [
        {"title": "Shares", "speakers": [1, 0], "slides": "slides/plan.pdf"},
        {"title": "Cake", "speakers": [], "slides": None},
    ],
}


def opening(content: bytes) -> Callable[[], IncomingFile]:
    return lambda: IncomingFile(io.BytesIO(content), len(content), "text/plain")


FILES = {"photos/zoë.jpg": opening(PHOTO), "slides/plan.pdf": opening(PLAN)}


def make(user: User, changes: dict[str, Any] | None = None) -> Event:
    return documents.create(user.tenant, user, DAY | (changes or {}), FILES)


def test_a_description_makes_the_event_with_its_files(user: User) -> None:
    event = make(user)

    assert (event.tenant, event.owner) == (user.tenant, user)
    assert access.allows(user, event, Access.ADMINISTER)
    files = documents.media(event)
    assert [file.path for file in files] == [
        "events/storage-day/photos/zoë.jpg",
        "events/storage-day/slides/plan.pdf",
    ]
    assert [read(file.current) for file in files if file.current] == [PHOTO, PLAN]
    tenant = Tenant.objects.get()
    assert tenant.used_bytes == len(PHOTO) + len(PLAN)
    assert (tenant.used_objects, tenant.reserved_bytes) == (2, 0)


def test_what_describes_it_is_json_and_makes_the_same_again(user: User) -> None:
    first = documents.describe(make(user))
    files = {path: opening(b"x") for path in _paths(first)}
    again = documents.create(user.tenant, user, json.loads(json.dumps(first)), files)

    second = documents.describe(again)

    assert second["slug"] == "storage-day-2"
    assert _paths(second) == {
        "events/storage-day-2/photos/zoë.jpg",
        "events/storage-day-2/slides/plan.pdf",
    }
    assert sorted(first["sessions"][0]["speakers"]) == [0, 1]
    for told in (first, second):
        del told["slug"]
        for part in (*told["speakers"], *told["sessions"]):
            part.pop("photo", None)
            part.pop("slides", None)
    assert first == second


def _paths(told: dict[str, Any]) -> set[str]:
    paths = {one["photo"] for one in told["speakers"]}
    paths |= {one["slides"] for one in told["sessions"]}
    return paths - {None}


def test_a_deleted_file_is_not_told(user: User) -> None:
    event = make(user)
    StoredObject.objects.filter(name="plan.pdf").update(deleted_at="2026-01-01T00:00Z")

    assert [file.name for file in documents.media(event)] == ["zoë.jpg"]
    assert documents.describe(event)["sessions"][0]["slides"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "n" * 201},
        {"name": 7},
        {"name": "with a \0"},
        {"name": "half a pair \ud800"},
        {"description": "half a pair \udc00"},
        {"starts_at": "some day"},
        {"starts_at": None},
        {"place": ["Hall"]},
        {"slug": 7},
        {"speakers": "Ada"},
        {"speakers": ["Ada"]},
        {"speakers": [{"name": "Ada", "photo": "photos/nobody.jpg"}]},
        {"speakers": [{"name": "Ada", "photo": 7}]},
        {"sessions": [{"title": "Shares", "speakers": [2]}]},
        {"sessions": [{"title": "Shares", "speakers": [-1]}]},
        {"sessions": [{"title": "Shares", "speakers": [True]}]},
        {"sessions": [{"title": "Shares", "speakers": None}]},
        {"sessions": [{}] * 10_001},
    ],
    ids=str,
)
def test_a_bad_description_is_refused_before_anything_is_written(
    user: User, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="description of the event"):
        make(user, changes)

    assert not Event.objects.exists()
    assert not StoredObject.objects.exists()


def test_without_room_for_all_of_its_files_there_is_no_event(user: User) -> None:
    Tenant.objects.update(max_bytes=len(PHOTO) + 1)

    with pytest.raises(QuotaExceeded):
        make(user)

    assert not Event.objects.exists()
    assert not Speaker.objects.exists()
    assert not Session.objects.exists()
    assert [one.state for one in StoredObject.objects.all()] == ["deleted"]


def test_an_event_of_a_page_s_name_gets_another_address(user: User) -> None:
    assert make(user, {"slug": "new"}).slug == "new-2"
    assert make(user, {"slug": "", "name": "第一"}).slug == "event"
    assert len(make(user, {"slug": "", "name": "n" * 200}).slug) <= 50


def test_any_number_of_events_has_a_name(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(organising, "NUMBERED", 4)
    name = "x" * 60

    addresses = []
    for _ in range(5):
        addresses.append(organising.free_slug(name))
        values = {"slug": addresses[-1], "starts_at": "2026-01-01T00:00Z"}
        Event.objects.create(tenant=user.tenant, name=name, **values)

    stem = "x" * 45
    assert addresses[:3] == [stem, f"{stem}-2", f"{stem}-3"]
    assert all(re.fullmatch("x{41}-[0-9a-f]{8}", one) for one in addresses[3:])
    assert organising.free_slug("New") == "new-2"
