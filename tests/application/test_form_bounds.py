"""How much is read of a form, or of JSON, before it is known that its sender may."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Tenant
from config.formbounds import OF_STRANGERS
from objects.models import StoredObject
from tests.application.callers import ADMINISTRATOR, SUPER_TENANT, Callers

MULTIPART = "multipart/form-data; boundary=b"
FORMS = ["application/x-www-form-urlencoded", MULTIPART]
GIB = 1 << 30


class Unread(io.BytesIO):
    """A body of which nothing is to be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("The body was read.")


def announce(
    client: Any, path: str, length: int, kind: str = MULTIPART, **more: Any
) -> Any:
    """Send the head of a form; raises AssertionError where its body is read."""
    body = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(length), **more}
    return client.generic("POST", path, content_type=kind, CONTENT_TYPE=kind, **body)


def stranger() -> Client:
    """Return the browser of somebody who has a cookie against forgery, as all have."""
    browser = Client(enforce_csrf_checks=True)
    browser.cookies["csrftoken"] = "a" * 32
    return browser


def browser_of(callers: Callers, kind: str) -> Client:
    browser = Client()
    browser.force_login(callers[kind].user)
    return browser


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("path", ["/accounts/sign-in/", "/admin/login/"])
def test_a_large_form_of_a_stranger_is_refused_unread(
    db: None, path: str, kind: str
) -> None:
    refused = announce(stranger(), path, OF_STRANGERS + 1, kind)

    assert refused.status_code == 413
    assert "too large" in refused.content.decode()


@pytest.mark.parametrize("path", ["/files/upload/", "/events/new/"])
@pytest.mark.parametrize(
    ("page", "next"),
    [
        ("http://testserver/files/?folder=papers", "/files/%3Ffolder%3Dpapers"),
        ("http://testserver", "/"),
        *[(told, "/") for told in ("", "http://elsewhere.example/files/", "http://[")],
    ],
)
def test_a_form_of_a_stranger_is_read_where_strangers_have_something_to_say(
    db: None, path: str, page: str, next: str
) -> None:
    """And whoever signs in is led to the page that the form is on."""
    led = announce(stranger(), path, 10, HTTP_REFERER=page)

    assert led.status_code == 302
    assert led.headers["Location"] == f"/accounts/sign-in/?next={next}"


def test_who_signs_in_again_after_sending_a_form_is_led_to_a_page(
    callers: Callers,
) -> None:
    user, browser = callers[ADMINISTRATOR].user, Client()
    given = {"username": user.username, "password": "a password of tests"}
    page = "http://testserver//elsewhere.example/"

    for told in ("", "http://testserver/files/", page):
        led = announce(browser, "/files/upload/", 10, HTTP_REFERER=told)
        place = browser.post(led.headers["Location"], given).headers["Location"]

        assert place.startswith("/")
        assert not place.startswith("//")
        assert browser.get(place, follow=True).status_code == 200
        browser.logout()


def test_a_stranger_signs_in_by_a_form(callers: Callers) -> None:
    given = {
        "username": callers[ADMINISTRATOR].user.username,
        "password": "a password of tests",
    }

    assert Client().post("/accounts/sign-in/", given).status_code == 302


def test_a_form_above_the_limit_of_a_file_is_refused_unread(
    callers: Callers, settings: Any
) -> None:
    settings.UPLOAD_LIMIT = 10
    browser = browser_of(callers, ADMINISTRATOR)
    most = 10 + settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    assert announce(browser, "/files/upload/", most + 1).status_code == 413
    assert announce(browser, "/files/upload/", 10**30).status_code == 413
    with pytest.raises(AssertionError, match="was read"):
        announce(browser, "/files/upload/", most)


def test_a_form_that_the_tenant_has_no_room_for_is_refused_unread(
    callers: Callers,
) -> None:
    Tenant.objects.filter(pk=callers.tenant.pk).update(max_bytes=GIB)
    browser = browser_of(callers, ADMINISTRATOR)
    operator = browser_of(callers, SUPER_TENANT)

    refused = announce(browser, "/files/upload/", 2 * GIB)

    assert refused.status_code == 507
    assert "no room" in refused.content.decode()
    for sender, length in ((browser, GIB), (operator, 2 * GIB)):
        with pytest.raises(AssertionError, match="was read"):
            announce(sender, "/files/upload/", length)


def test_an_object_that_the_tenant_has_no_room_for_is_refused_unread(
    callers: Callers,
) -> None:
    Tenant.objects.filter(pk=callers.tenant.pk).update(max_bytes=GIB)
    api = callers[ADMINISTRATOR].api

    refused = announce(api, "/api/v1/objects/", 2 * GIB)

    assert refused.status_code == 507
    assert refused.json()["detail"] == "The tenant has no room for this object."
    with pytest.raises(AssertionError, match="was read"):
        announce(api, "/api/v1/objects/", GIB)


def test_what_filled_the_tenant_is_told_again_by_its_key(callers: Callers) -> None:
    content = b"x" * 100_000
    used = Tenant.objects.get(pk=callers.tenant.pk).used_bytes
    Tenant.objects.filter(pk=callers.tenant.pk).update(max_bytes=used + len(content))
    api = callers[ADMINISTRATOR].api

    def send() -> Any:
        file = io.BytesIO(content)
        file.name = "full.txt"
        headers = {"Idempotency-Key": "full"}
        return api.post(
            "/api/v1/objects/", {"file": file}, format="multipart", headers=headers
        )

    first, again = send(), send()

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert StoredObject.objects.filter(name="full.txt").count() == 1


@pytest.mark.parametrize("path", ["tokens/", "tokens/refresh/", "passwords/set/"])
def test_json_of_a_stranger_is_small(db: None, path: str) -> None:
    def send(size: int) -> Any:
        body = json.dumps({"username": ""}).encode().ljust(size)
        return Client().post(f"/api/v1/{path}", body, content_type="application/json")

    refused = send(OF_STRANGERS + 1)

    assert refused.status_code == 413
    assert refused.json()["detail"] == "JSON may have 64 KiB at most without a token."
    assert send(OF_STRANGERS).status_code == 400


def test_json_of_a_user_may_be_larger(callers: Callers) -> None:
    body = json.dumps({"name": "a.txt"}).encode()

    def send(size: int) -> Any:
        return callers[ADMINISTRATOR].api.patch(
            f"/api/v1/objects/{callers.object.pk}/",
            body.ljust(size),
            content_type="application/json",
        )

    assert send(1 << 20).status_code == 200
    assert send((1 << 20) + 1).status_code == 413
