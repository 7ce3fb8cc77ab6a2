"""Log-in by password: what it tells strangers, and whom it locks out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse
from pytest_django.fixtures import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from accounts.logins import FREE_OF_ADDRESS, FREE_OF_NAME, LONGEST_WAIT
from tests.application.callers import INACTIVE, VIEWER, Callers
from tests.support.redis_server import RedisServer

PASSWORD = "a password of tests"


def log_in(name: str, password: str = PASSWORD, address: str = "192.0.2.1") -> Response:
    return APIClient(REMOTE_ADDR=address).post(
        reverse("api:tokens"), {"username": name, "password": password}, format="json"
    )


class Clock:
    """Moves the time that the cache goes by."""

    ahead = 0.0

    def wait(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    real, clock = time.time, Clock()
    monkeypatch.setattr("time.time", lambda: real() + clock.ahead)
    return clock


@pytest.fixture(params=["memory", "redis"])
def counts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where attempts are counted."""
    if request.param == "memory":
        yield
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    with override_settings(CACHES={"default": redis(server)}):
        cache.clear()
        yield
        cache.clear()


def redis(server: RedisServer) -> dict[str, str]:
    backend = "django.core.cache.backends.redis.RedisCache"
    return {"BACKEND": backend, "LOCATION": server.url}


def test_whoever_knows_the_password_gets_tokens(callers: Callers) -> None:
    tokens = log_in(VIEWER).json()

    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    assert client.get(reverse("api:object-list")).status_code == 200


def test_the_answer_tells_nothing_of_who_exists(callers: Callers) -> None:
    unusable = callers[VIEWER].user
    unusable.pk, unusable.username = None, "invited"
    unusable.set_unusable_password()
    unusable.save()
    refusals = {}
    work = {}

    for name, password in (
        (VIEWER, "wrong"),
        (INACTIVE, "wrong"),
        (INACTIVE, PASSWORD),
        ("invited", "wrong"),
        ("nobody-has-this-name", "wrong"),
    ):
        encode = MD5PasswordHasher.encode
        with mock.patch.object(
            MD5PasswordHasher, "encode", autospec=True, side_effect=encode
        ) as hashed:
            response = log_in(name, password)
        refusals[name, password] = (response.status_code, response.content)
        work[name, password] = hashed.call_count

    assert {status for status, _body in refusals.values()} == {401}
    assert len(set(refusals.values())) == 1, refusals
    assert set(work.values()) == {1}, work


@pytest.mark.usefixtures("counts")
@pytest.mark.parametrize("name", [VIEWER, "nobody-has-this-name"])
def test_a_name_is_locked_whether_somebody_has_it_or_not(
    callers: Callers, name: str
) -> None:
    for number in range(FREE_OF_NAME):
        response = log_in(name, "wrong", address=f"192.0.2.{number}")
        assert response.status_code == 401

    response = log_in(name, PASSWORD, address="198.51.100.1")

    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert response.headers["Content-Type"] == "application/problem+json"
    assert log_in(name.upper(), "wrong").status_code == 429


def test_each_wait_is_twice_as_long_and_ends(callers: Callers, clock: Clock) -> None:
    for _ in range(FREE_OF_NAME):
        log_in(VIEWER, "wrong")
    waits = []

    for _ in range(9):
        refused = log_in(VIEWER, "wrong")
        assert refused.status_code == 429
        waits.append(int(refused.headers["Retry-After"]))
        clock.wait(waits[-1])
        assert log_in(VIEWER, "wrong").status_code == 401

    expected = [60, 120, 240, 480, 960, 1920, *[LONGEST_WAIT] * 3]
    assert waits == pytest.approx(expected, abs=5)
    clock.wait(LONGEST_WAIT)
    assert log_in(VIEWER).status_code == 200
    assert log_in(VIEWER, "wrong").status_code == 401  # It begins anew.


def test_an_address_is_locked_whatever_the_names(callers: Callers) -> None:
    for number in range(FREE_OF_ADDRESS):
        assert log_in(f"name-{number}", "wrong").status_code == 401

    assert log_in(VIEWER).status_code == 429
    assert log_in(VIEWER, address="198.51.100.1").status_code == 200


def test_an_address_of_ipv6_is_its_network(callers: Callers) -> None:
    for number in range(FREE_OF_ADDRESS):
        log_in(f"name-{number}", "wrong", address=f"2001:db8::{number + 1}")

    assert log_in(VIEWER, address="2001:db8::ffff").status_code == 429
    assert log_in(VIEWER, address="2001:db8:0:1::1").status_code == 200


def test_an_account_of_ones_own_wipes_out_no_attempts(callers: Callers) -> None:
    statuses = []
    for number in range(FREE_OF_ADDRESS + 1):
        log_in(VIEWER)
        statuses.append(log_in(f"name-{number}", "wrong").status_code)

    assert statuses == [401] * FREE_OF_ADDRESS + [429]


def test_nobody_is_believed_about_their_address(callers: Callers) -> None:
    for number in range(FREE_OF_ADDRESS + 1):
        client = APIClient(HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
        given = {"username": f"name-{number}", "password": "wrong"}
        response = client.post(reverse("api:tokens"), given, format="json")

    assert response.status_code == 429


@pytest.mark.django_db(transaction=True)
def test_of_many_attempts_at_once_no_more_are_let_through(
    redis_server: RedisServer,
) -> None:
    from accounts import logins
    from accounts.counting import count

    with override_settings(CACHES={"default": redis(redis_server)}):
        cache.clear()

        def attempt(_number: int) -> bool:
            try:
                logins._enter("login:test", FREE_OF_NAME)
            except logins.LockedOut:
                return False
            return True

        with ThreadPoolExecutor(20) as pool:
            assert sum(pool.map(attempt, range(100))) == FREE_OF_NAME
            assert sorted(pool.map(lambda _: count("number", 60), range(50))) == [
                *range(1, 51)
            ]
        cache.clear()


def test_without_the_counts_nobody_is_let_in(callers: Callers) -> None:
    nowhere = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1",
    }
    with override_settings(CACHES={"default": nowhere}):
        response = log_in(VIEWER)

        assert response.status_code == 503
        assert response.headers["Content-Type"] == "application/problem+json"
        # What one has tokens for goes on.
        assert callers[VIEWER].api.get(reverse("api:object-list")).status_code == 200


def test_the_admin_counts_too(callers: Callers, settings: Settings) -> None:
    page = reverse("admin:login")
    for _ in range(FREE_OF_NAME):
        Client().post(page, {"username": VIEWER, "password": "wrong"})

    assert log_in(VIEWER).status_code == 429
