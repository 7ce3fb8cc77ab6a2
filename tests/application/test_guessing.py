"""Whoever tries tokens, of share links and of mails, is locked out by degrees."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.logins import FREE_OF_ADDRESS
from objects.models import StoredObject
from sharing import links
from sharing.models import EndedLink, ShareLink
from tests.application.callers import ADMINISTRATOR, Callers

GUESSER, OTHER = "192.0.2.7", "198.51.100.1"


def share(address: str, token: str | None = None) -> Any:
    path = reverse("share", args=[token or secrets.token_urlsafe(32)])
    return APIClient(REMOTE_ADDR=address).get(path)


def link_of_a_mail(address: str) -> Any:
    path = reverse("password_reset_confirm", args=["MQ", secrets.token_hex(16)])
    return Client(REMOTE_ADDR=address).get(path)


def set_password(address: str) -> Any:
    given = {"uid": "MQ", "token": secrets.token_hex(16), "password": "x" * 20}
    return APIClient(REMOTE_ADDR=address).post(
        "/api/v1/passwords/set/", given, format="json"
    )


@pytest.mark.parametrize(
    ("ask", "wrong", "locked"),
    [(share, 404, 429), (link_of_a_mail, 200, 403), (set_password, 400, 429)],
)
def test_an_address_that_tries_tokens_has_to_wait(
    callers: Callers, ask: Callable[[str], Any], wrong: int, locked: int
) -> None:
    _link, token = links.create(
        callers.object,
        callers[ADMINISTRATOR].user,
        expires_at=timezone.now() + timedelta(days=1),
        max_downloads=None,
    )
    for _number in range(FREE_OF_ADDRESS):
        assert ask(GUESSER).status_code == wrong

    answer = ask(GUESSER)

    assert answer.status_code == locked
    assert locked == 403 or int(answer["Retry-After"]) > 0
    # Whatever they try then.
    assert share(GUESSER, token).status_code == 429
    assert share(OTHER, token).status_code == 200
    assert ask(OTHER).status_code == wrong


def test_a_link_that_was_good_once_is_no_guess(callers: Callers) -> None:
    _link, token = links.create(
        callers.object,
        callers[ADMINISTRATOR].user,
        expires_at=timezone.now() + timedelta(days=1),
        max_downloads=None,
    )
    ShareLink.objects.update(expires_at=timezone.now())

    for _number in range(FREE_OF_ADDRESS + 2):
        assert share(GUESSER, token).status_code == 404


@pytest.mark.parametrize("went", ["object", "creator"])
def test_a_link_that_is_gone_is_no_guess_for_a_year(
    callers: Callers, went: str
) -> None:
    _link, token = links.create(
        callers.object,
        callers[ADMINISTRATOR].user,
        expires_at=timezone.now() + timedelta(days=1),
        max_downloads=None,
    )
    if went == "object":
        long_ago = timezone.now() - timedelta(days=1000)
        StoredObject.objects.update(deleted_at=long_ago)
    else:
        callers[ADMINISTRATOR].user.delete()
    call_command("objects_purge", stdout=io.StringIO())
    assert StoredObject.objects.exists() == (went == "creator")
    assert not ShareLink.objects.exists()

    for _number in range(FREE_OF_ADDRESS + 2):
        assert share(GUESSER, token).status_code == 404

    assert token not in str(list(EndedLink.objects.values()))
    EndedLink.objects.update(ended_at=timezone.now() - links.KEPT)
    call_command("objects_purge", stdout=io.StringIO())
    assert not EndedLink.objects.exists()
    for _number in range(FREE_OF_ADDRESS):
        assert share(GUESSER, token).status_code == 404
    assert share(GUESSER, token).status_code == 429


def test_without_the_counts_links_are_good(callers: Callers) -> None:
    _link, token = links.create(
        callers.object,
        callers[ADMINISTRATOR].user,
        expires_at=timezone.now() + timedelta(days=1),
        max_downloads=None,
    )
    away = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
    }

    with override_settings(CACHES={"default": away}):
        assert share(GUESSER).status_code == 404
        assert share(GUESSER, token).status_code == 200
