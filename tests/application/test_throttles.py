"""Throttles: a user, a tenant and an anonymous address each have a share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import override_settings
from django.urls import reverse
from pytest_django.fixtures import Settings
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from api.throttles import TenantThrottle, UserThrottle
from tests.application.callers import EDITOR, OTHER_TENANT, VIEWER, Callers
from tests.application.settings import DEFAULT_RATES
from tests.support.redis_server import RedisServer

Limit = Callable[..., None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Sets the rates; the clock stands still, so that no window ends."""
    monkeypatch.setattr("time.time", lambda: 1_800_000_030.0)

    def limit(**rates: str) -> None:
        known = dict.fromkeys(("user", "tenant", "anonymous"))
        monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", known | rates)

    return limit


def ask(client: APIClient, times: int = 1) -> list[int]:
    url = reverse("api:object-list")
    return [client.get(url).status_code for _ in range(times)]


def test_a_user_has_a_share(callers: Callers, limit: Limit) -> None:
    limit(user="3/minute")

    assert ask(callers[VIEWER].api, 4) == [200, 200, 200, 429]
    assert ask(callers[EDITOR].api) == [200]


def test_users_of_a_tenant_share_its_own(callers: Callers, limit: Limit) -> None:
    limit(tenant="3/minute")

    assert ask(callers[VIEWER].api, 2) == [200, 200]
    assert ask(callers[EDITOR].api, 2) == [200, 429]
    assert ask(callers[OTHER_TENANT].api) == [200]


def test_an_anonymous_address_has_a_share(callers: Callers, limit: Limit) -> None:
    limit(anonymous="2/minute")

    def guess(address: str) -> int:
        client, given = APIClient(REMOTE_ADDR=address), {"refresh": "guessed"}
        url = reverse("api:tokens-refresh")
        return client.post(url, given, format="json").status_code

    assert [guess("192.0.2.1") for _ in range(3)] == [401, 401, 429]
    assert guess("192.0.2.2") == 401
    assert ask(callers[VIEWER].api) == [200]


def test_who_sends_no_good_token_is_counted_by_their_address(
    callers: Callers, limit: Limit
) -> None:
    limit(anonymous="2/minute")
    for address, token in (("192.0.2.1", ""), ("192.0.2.2", "Bearer guessed")):
        client = APIClient(REMOTE_ADDR=address)
        client.credentials(HTTP_AUTHORIZATION=token)
        assert ask(client, 3) == [401, 401, 429]
    assert ask(callers[VIEWER].api, 3) == [200] * 3


def test_who_is_refused_for_what_they_are_is_counted(
    callers: Callers, limit: Limit
) -> None:
    limit(user="2/minute")
    url = reverse("api:default-permission-list")

    statuses = [callers[VIEWER].api.get(url).status_code for _ in range(3)]

    assert statuses == [403, 403, 429]


def test_links_count_as_requests_of_whoever_was_given_them(
    callers: Callers, limit: Limit
) -> None:
    url = reverse("api:object-content", args=[callers.object.pk])
    link = callers[VIEWER].api.get(url, {"link": "true"}).json()["url"]
    limit(anonymous="2/minute", user="4/minute")

    def opened(url: str, times: int) -> list[int]:
        return [APIClient().get(url).status_code for _ in range(times)]

    assert opened(link, 3) == [200, 200, 200]
    assert opened(reverse("api:link", args=["guessed"]), 3) == [404, 404, 429]
    assert opened(link, 2) == [200, 429]
    assert ask(callers[VIEWER].api) == [429]


@pytest.fixture
def upload(callers: Callers) -> str:
    """Return the URL of an upload that the editor has begun."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    response = callers[EDITOR].api.post(reverse("api:uploads"), headers=headers)
    return str(response.headers["Location"])


def tus(method: str, url: str, data: bytes = b"", offset: int = 0) -> HttpResponse:
    """Ask for an upload as whoever has its URL."""
    sent = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset)}
    kind = "application/offset+octet-stream"
    send: Any = APIClient().generic
    response: HttpResponse = send(method, url, data, content_type=kind, headers=sent)
    return response


def test_a_resumable_upload_counts_as_requests_of_whoever_began_it(
    callers: Callers, limit: Limit, upload: str
) -> None:
    limit(anonymous="1/minute", user="4/minute")

    assert tus("PATCH", upload, b"ab").status_code == 204
    assert [tus("HEAD", upload).status_code for _ in range(3)] == [200] * 3
    assert tus("PATCH", upload, b"cd", 2).status_code == 429
    assert tus("DELETE", upload).status_code == 429
    assert ask(callers[EDITOR].api) == [429]
    assert ask(callers[VIEWER].api) == [200]


def test_uploads_of_a_tenant_share_its_own(
    callers: Callers, limit: Limit, upload: str
) -> None:
    limit(tenant="2/minute")

    assert ask(callers[VIEWER].api) == [200]
    assert tus("HEAD", upload).status_code == 200
    assert tus("PATCH", upload, b"ab").status_code == 429


def test_whoever_guesses_uploads_is_counted_by_their_address(
    callers: Callers, limit: Limit, upload: str
) -> None:
    limit(anonymous="2/minute")
    guessed = reverse("api:upload", args=[uuid.uuid4()])

    statuses = [tus("PATCH", guessed, b"ab").status_code for _ in range(3)]

    assert statuses == [404, 404, 429]
    assert tus("HEAD", upload).status_code == 200


def test_a_client_of_tus_waits_and_goes_on_where_it_was(
    callers: Callers, limit: Limit, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD is 423 then: after another 4xx the clients would begin anew."""
    limit(user="1/minute")
    tus("PATCH", upload, b"ab")

    asked, sent = tus("HEAD", upload), tus("PATCH", upload, b"cd", 2)

    assert (asked.status_code, sent.status_code) == (423, 429)
    assert asked.headers["Retry-After"] == sent.headers["Retry-After"] == "30"
    assert asked.headers["Tus-Resumable"] == "1.0.0"
    monkeypatch.setattr("time.time", lambda: 1_800_000_060.0)
    assert tus("HEAD", upload).headers["Upload-Offset"] == "2"


def test_the_default_rates_let_an_upload_of_10_gb_through() -> None:
    """In parts of 5 MB, each asked for before it is sent, all within one minute."""
    requests = 2 * 10_000 // 5

    for throttle in (UserThrottle(), TenantThrottle()):
        number, seconds = throttle.parse_rate(DEFAULT_RATES[throttle.scope])
        assert number is not None
        assert (seconds, number > requests) == (60, True)


def test_what_was_refused_says_when_to_come_again(
    callers: Callers, limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(user="1/minute")
    ask(callers[VIEWER].api)

    refused: Any = callers[VIEWER].api.get(reverse("api:object-list"))

    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    seconds = int(refused.headers["Retry-After"])
    now = 1_800_000_030.0
    monkeypatch.setattr("time.time", lambda: now + seconds)
    assert ask(callers[VIEWER].api) == [200]


def test_processes_share_the_counts_of_a_redis(
    callers: Callers, limit: Limit, redis_server: RedisServer
) -> None:
    limit(user="3/minute")
    backend = "django.core.cache.backends.redis.RedisCache"
    where = {"default": {"BACKEND": backend, "LOCATION": redis_server.url}}
    statuses = []

    # Each time with a new connection and nothing in memory, as another process.
    for _ in range(4):
        with override_settings(CACHES=where):
            statuses += ask(callers[VIEWER].api)

    assert statuses == [200, 200, 200, 429]
    with override_settings(CACHES=where):
        cache.clear()


def test_without_the_counts_requests_are_served(
    callers: Callers, limit: Limit, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    limit(user="1/minute")
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {
        "default": {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1"}
    }

    assert ask(callers[VIEWER].api, 3) == [200] * 3
    assert "Requests are not throttled" in caplog.text
