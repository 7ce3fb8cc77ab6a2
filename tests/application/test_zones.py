"""Pages show times in their user's zone; the API speaks UTC."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts import models, people
from accounts.models import User
from events.models import Event
from objects.models import StoredObject
from tests.application.callers import client_of

ME, EVENTS = "/api/v1/users/me/", "/admin/events/event/"
LATE = datetime(2026, 6, 1, 23, 5, tzinfo=UTC)


@pytest.fixture
def browser(user: User) -> Client:
    """The user's, who administers the super-tenant."""
    user.tenant.is_super = user.is_administrator = True
    user.is_staff = user.is_superuser = True
    user.tenant.save()
    user.save()
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def event(user: User) -> Event:
    return Event.objects.create(
        tenant=user.tenant,
        name="Day",
        slug="day",
        starts_at=LATE,
        place="Here",
        published=True,
    )


def choose(user: User, zone: str) -> Any:
    return client_of(user).patch(ME, {"time_zone": zone}, format="json")


def sent_by(browser: Client, url: str) -> dict[str, Any]:
    """Return what a form of the admin sends when nothing is changed."""
    form = browser.get(url).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


@pytest.mark.parametrize(
    ("zone", "day", "clock"),
    [
        ("", "1 Jun 2026", "11:05 p.m."),
        ("Asia/Tokyo", "2 Jun 2026", "8:05 a.m."),
        ("America/St_Johns", "1 Jun 2026", "8:35 p.m."),
    ],
)
def test_the_admin_shows_times_in_the_zone_that_its_user_chose(
    user: User, browser: Client, event: Event, zone: str, day: str, clock: str
) -> None:
    assert choose(user, zone).status_code == 200

    page = browser.get(EVENTS).content.decode()

    assert clock in page
    assert day.split()[0] + " " in page


def test_a_page_shows_each_visitor_their_own_time(
    user: User, browser: Client, event: Event
) -> None:
    choose(user, "Asia/Tokyo")
    other = User.objects.create_user("bob", tenant=user.tenant)

    assert "08:05" in browser.get("/events/day/").content.decode()
    # Whoever came by the same thread before has chosen nothing for the next.
    browser.force_login(other)
    assert "23:05" in browser.get("/events/day/").content.decode()


def test_without_a_choice_it_is_the_sites(
    browser: Client, event: Event, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"

    assert "8:05 a.m." in browser.get(EVENTS).content.decode()


def test_a_form_of_the_admin_takes_times_in_that_zone(
    user: User, browser: Client, event: Event
) -> None:
    choose(user, "Asia/Tokyo")
    url = f"/admin/events/event/{event.pk}/change/"
    sent = sent_by(browser, url)
    sent["starts_at"] = "2026-06-02T09:00"

    assert browser.post(url, sent).status_code == 302

    event.refresh_from_db()
    assert event.starts_at == datetime(2026, 6, 2, tzinfo=UTC)


def test_the_api_speaks_utc_whoever_asks(user: User, settings: Any) -> None:
    settings.TIME_ZONE = "America/New_York"
    choose(user, "Asia/Tokyo")
    StoredObject.objects.create(tenant=user.tenant, owner=user, name="a")
    StoredObject.objects.update(created_at=LATE)
    api: APIClient = client_of(user)
    api.force_login(user)  # As a script of a page sends it: the cookie too.
    user.is_administrator = True
    user.save()

    (found,) = api.get("/api/v1/objects/").json()["results"]

    assert found["created_at"] == "2026-06-01T23:05:00Z"


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "../etc/passwd", "localtime", "x" * 65]
)
def test_what_is_no_zone_is_refused(user: User, zone: str) -> None:
    assert choose(user, zone).status_code == 400
    assert User.objects.get().time_zone == ""


def test_a_zone_that_this_host_does_not_know_is_the_sites(
    user: User, browser: Client, event: Event
) -> None:
    User.objects.update(time_zone="Europe/Atlantis")

    assert "11:05 p.m." in browser.get(EVENTS).content.decode()


def test_whose_zone_this_host_does_not_know_can_be_refused(user: User) -> None:
    User.objects.update(time_zone="Europe/Atlantis")
    user.refresh_from_db()

    people.deactivate(user, by=None)

    assert not User.objects.get().is_active


def test_an_administrator_chooses_it_in_the_admin(user: User, browser: Client) -> None:
    url = f"/admin/accounts/user/{user.pk}/change/"

    response = browser.post(url, sent_by(browser, url) | {"time_zone": "Europe/Vienna"})

    assert response.status_code == 302
    assert User.objects.get().time_zone == "Europe/Vienna"


def test_the_zones_of_the_host_are_read_once(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, read = zoneinfo.available_timezones, 0

    def counted() -> set[str]:
        nonlocal read
        read += 1
        return usual()

    monkeypatch.setattr(zoneinfo, "available_timezones", counted)
    models.time_zones.cache_clear()

    for zone in ("Asia/Tokyo", "Europe/Berlin"):
        assert choose(user, zone).status_code == 200

    assert read == 1
