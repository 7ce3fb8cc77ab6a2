"""Tokens of the API: refreshed, revoked, and refused at once afterwards."""

from __future__ import annotations

import json

import jwt
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.response import Response
from rest_framework.test import APIClient

from accounts.tokens import describe, revoke_tokens
from tests.application.callers import INACTIVE, STRANGER, VIEWER, Callers


def use(access: str) -> int:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client.get(reverse("api:object-list")).status_code


def refresh(token: str) -> Response:
    return APIClient().post(
        reverse("api:tokens-refresh"), {"refresh": token}, format="json"
    )


def test_a_refresh_token_gives_an_access_token(callers: Callers) -> None:
    given = refresh(describe(callers[VIEWER].user)["refresh"])

    assert given.status_code == 200
    assert use(given.json()["access"]) == 200


def test_revoked_tokens_are_refused_at_once_and_nobody_elses(callers: Callers) -> None:
    mine, others = describe(callers[VIEWER].user), describe(callers[STRANGER].user)

    revoked = callers[VIEWER].api.post(reverse("api:tokens-revoke"))

    assert revoked.status_code == 204
    assert use(mine["access"]) == 401
    assert refresh(mine["refresh"]).status_code == 401
    assert use(others["access"]) == 200
    assert refresh(others["refresh"]).status_code == 200
    user = callers[VIEWER].user
    user.refresh_from_db()
    assert use(describe(user)["access"]) == 200


def test_with_the_tokens_end_the_sessions(callers: Callers) -> None:
    user = callers[VIEWER].user
    browser = Client()
    browser.force_login(user)
    assert browser.get("/files/").status_code == 200

    revoke_tokens(user, by=None)

    assert browser.get("/files/").status_code == 302
    user.refresh_from_db()
    browser.force_login(user)
    assert browser.get("/files/").status_code == 200


def test_another_password_revokes_the_tokens(callers: Callers) -> None:
    user = callers[VIEWER].user
    before = describe(user)

    user.set_password("another password")
    user.save()

    assert use(before["access"]) == 401
    assert refresh(before["refresh"]).status_code == 401
    assert use(describe(user)["access"]) == 200


def test_the_inactive_are_refused_and_told_the_same(callers: Callers) -> None:
    tokens = describe(callers[INACTIVE].user)

    assert use(tokens["access"]) == 401
    assert refresh(tokens["refresh"]).status_code == 401


def test_tokens_of_users_that_are_gone_are_refused(callers: Callers) -> None:
    tokens = describe(callers[STRANGER].user)
    callers[STRANGER].user.delete()

    assert use(tokens["access"]) == 401
    assert refresh(tokens["refresh"]).status_code == 401


def test_an_access_token_refreshes_nothing_and_the_other_way_round(
    callers: Callers,
) -> None:
    tokens = describe(callers[VIEWER].user)

    assert refresh(tokens["access"]).status_code == 401
    assert use(tokens["refresh"]) == 401


@pytest.mark.filterwarnings("ignore:The HMAC key is")
@pytest.mark.parametrize("key", ["", settings.SECRET_KEY])
def test_tokens_are_signed_by_a_key_of_their_own(callers: Callers, key: str) -> None:
    token = describe(callers[VIEWER].user)["access"]
    claims = jwt.decode(token, settings.TOKEN_SIGNING_KEY, algorithms=["HS256"])

    forged = jwt.encode(claims, key, algorithm="HS256" if key else "none")

    assert use(forged) == 401


@pytest.mark.parametrize("by", ["username", "pk"])
def test_a_command_makes_tokens_by_name_or_id(
    callers: Callers, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    call_command("createusertoken", str(getattr(callers[VIEWER].user, by)))

    tokens = json.loads(capsys.readouterr().out)
    assert set(tokens) == {"access", "refresh"}
    assert use(tokens["access"]) == 200


def test_a_name_that_looks_like_an_id_is_a_name(
    callers: Callers, capsys: pytest.CaptureFixture[str]
) -> None:
    number = str(callers[STRANGER].user.pk)
    viewer = callers[VIEWER].user
    viewer.username = number
    viewer.save()

    # By itself it may be a name or an id, and is refused.
    with pytest.raises(CommandError, match=f"say name:{number} or id:{number}"):
        call_command("createusertoken", number)
    call_command("createusertoken", f"name:{number}")

    token = json.loads(capsys.readouterr().out)["access"]
    claims = jwt.decode(token, settings.TOKEN_SIGNING_KEY, algorithms=["HS256"])
    assert claims["user_id"] == str(viewer.pk)


@pytest.mark.parametrize(
    ("user", "message"),
    [(INACTIVE, "inactive is inactive"), ("nemo", "no user of the name or id nemo")],
)
def test_a_command_makes_no_tokens_for_nobody(
    callers: Callers, user: str, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("createusertoken", user)
