"""Passwords: set by links that are good once, and changed by who knows the old one."""

from __future__ import annotations

import re
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from accounts.models import User
from accounts.pages import PasswordForm
from accounts.passwords import CHANGES, RESETS_OF_ADDRESS, RESETS_OF_MAIL
from audit.models import Entry
from jobs.models import Job
from tests.application.callers import (
    EDITOR,
    INACTIVE,
    KINDS,
    NOBODY,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)
from tests.application.mails import sent

OLD = "a password of tests"
NEW = "correct horse battery"
MAIL = "viewer@example.org"


def post(client: APIClient, name: str, **data: Any) -> Response:
    return client.post(reverse(f"api:passwords-{name}"), data, format="json")


def reset(email: str, address: str = "192.0.2.1") -> Response:
    return post(APIClient(REMOTE_ADDR=address), "reset", email=email)


def link() -> dict[str, str]:
    """Return what the last mail tells a program."""
    body = str(sent()[-1].body)
    found = re.search(r"^uid: (\S+)\ntoken: (\S+)$", body, re.MULTILINE)
    assert found, body
    return {"uid": found[1], "token": found[2]}


def link_opened() -> tuple[str, Client]:
    """Return where the last mail's link led, and the browser that followed it."""
    page = re.search(r"http://testserver(/\S+)", str(sent()[-1].body))
    assert page
    browser = Client()
    return browser.get(page[1], follow=True).redirect_chain[-1][0], browser


def log_in(name: str, password: str) -> int:
    given = {"username": name, "password": password}
    return APIClient().post(reverse("api:tokens"), given, format="json").status_code


def test_who_is_invited_sets_a_first_password_and_logs_in(callers: Callers) -> None:
    callers[TENANT_ADMINISTRATOR].api.post(
        reverse("api:user-list"),
        {"username": "new", "email": "new@example.org"},
        format="json",
    )

    response = post(APIClient(), "set", password=NEW, **link())

    assert response.status_code == 204
    assert log_in("new", NEW) == 200
    assert Entry.objects.filter(action="user.password").count() == 1


def test_a_forgotten_password_is_replaced_and_ends_the_tokens(callers: Callers) -> None:
    assert reset(MAIL).status_code == 202
    assert [one.to for one in sent()] == [[MAIL]]

    assert post(APIClient(), "set", password=NEW, **link()).status_code == 204

    assert (log_in(VIEWER, OLD), log_in(VIEWER, NEW)) == (401, 200)
    assert callers[VIEWER].api.get(reverse("api:user-list")).status_code == 401


@pytest.mark.parametrize("email", ["nobody@example.org", "inactive@example.org"])
def test_a_reset_tells_nothing_of_who_exists(callers: Callers, email: str) -> None:
    answers, asked = [], []

    for one in (MAIL, email):
        with CaptureQueriesContext(connection) as captured:
            answers.append(reset(one))
        asked.append([re.sub(r"\W.*", "", q["sql"]) for q in captured.captured_queries])

    assert len({(a.status_code, a.content, str(a.headers)) for a in answers}) == 1
    # As many of the same kinds: the user is looked up, and a job is written.
    assert asked[0] == asked[1]
    assert Job.objects.count() == 2
    # All else depends on the user, and is left to a worker.
    assert mail.outbox == []
    assert [one.to for one in sent()] == [[MAIL]]
    assert set(Job.objects.values_list("state", flat=True)) == {"done"}


def test_a_mail_is_sent_once_its_server_is_back(callers: Callers) -> None:
    away = {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": 1,
    }
    with override_settings(**away):
        assert reset(MAIL).status_code == 202
        assert sent() == []
    job = Job.objects.get()
    assert (job.state, job.error) == ("waiting", "The mail could not be sent.")
    Job.objects.update(due_at=timezone.now())

    assert [one.to for one in sent()] == [[MAIL]]


class OneByOne(EmailBackend):
    """A server that takes the first mail to an address, and no more for a while."""

    def send_messages(self, messages: Any) -> int:
        if mail.outbox:
            raise SMTPRecipientsRefused({})
        return int(super().send_messages(messages))


def test_a_mail_that_was_taken_is_not_sent_again_for_another(callers: Callers) -> None:
    User.objects.filter(username=EDITOR).update(email=MAIL)
    with override_settings(EMAIL_BACKEND=f"{__name__}.OneByOne"):
        assert reset(MAIL).status_code == 202
        assert [one.to for one in sent()] == [[MAIL]]
    assert Job.objects.get().state == "done"


def test_who_was_deactivated_meanwhile_gets_no_mail(callers: Callers) -> None:
    reset(MAIL)
    User.objects.filter(username=VIEWER).update(is_active=False)

    assert sent() == []


def test_a_link_is_good_once(callers: Callers) -> None:
    reset(MAIL)
    first = link()
    reset(MAIL)
    second = link()

    assert post(APIClient(), "set", password=NEW, **first).status_code == 204
    for used in (first, second):
        again = post(APIClient(), "set", password="another horse", **used)
        assert again.status_code == 400
    assert log_in(VIEWER, NEW) == 200


def test_a_link_expires(callers: Callers, settings: Settings) -> None:
    user = callers[VIEWER].user
    reset(MAIL)
    told = link()
    late = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT + 60)
    now = (timezone.localtime() + late).replace(tzinfo=None)

    with mock.patch.object(default_token_generator, "_now", return_value=now):
        assert post(APIClient(), "set", password=NEW, **told).status_code == 400

    user.refresh_from_db()
    assert user.check_password(OLD)


@pytest.mark.parametrize(
    "changed",
    [
        {"uid": "x"},
        {"uid": "OTk5OTk5"},
        {"uid": "LTE"},
        {"uid": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"},
        {"token": "x"},
        {"token": "x-y"},
    ],
)
def test_links_that_are_none_are_refused_alike(
    callers: Callers, changed: dict[str, str]
) -> None:
    reset(MAIL)

    response = post(APIClient(), "set", password=NEW, **(link() | changed))

    assert response.status_code == 400
    assert response.json()["detail"] == "The link is not valid any more."


def test_the_link_of_another_is_not_ones_own(callers: Callers) -> None:
    reset("editor@example.org")
    editors = link()
    reset(MAIL)

    mixed = editors | {"uid": link()["uid"]}

    assert post(APIClient(), "set", password=NEW, **mixed).status_code == 400


def test_the_inactive_get_in_by_no_link(callers: Callers) -> None:
    reset(MAIL)
    told = link()
    User.objects.filter(username=VIEWER).update(is_active=False)

    assert post(APIClient(), "set", password=NEW, **told).status_code == 400


@pytest.mark.parametrize("weak", ["short", "12345678901", "password123", "viewer12"])
def test_a_weak_password_is_refused_and_the_link_stays_good(
    callers: Callers, weak: str
) -> None:
    reset(MAIL)
    weak_one = post(APIClient(), "set", password=weak, **link())

    assert weak_one.status_code == 400
    assert post(APIClient(), "set", password=NEW, **link()).status_code == 204


def test_nothing_of_a_link_is_kept(callers: Callers) -> None:
    reset(MAIL)
    token = link()["token"]

    kept = str([list(model.objects.values()) for model in (User, Entry, Job)])

    assert token not in kept
    # Nor who has which address, or wants to know whether they have one.
    assert MAIL not in str(Job.objects.values().get())


def test_an_address_of_mail_is_not_flooded(callers: Callers) -> None:
    for number in range(RESETS_OF_MAIL + 2):
        assert reset(MAIL, address=f"192.0.2.{number}").status_code == 202

    assert len(sent()) == RESETS_OF_MAIL


def test_a_caller_asks_for_so_many_mails(callers: Callers) -> None:
    statuses = [
        reset(f"{number}@example.org").status_code
        for number in range(RESETS_OF_ADDRESS + 1)
    ]

    assert statuses == [202] * RESETS_OF_ADDRESS + [429]


@pytest.mark.parametrize("kind", KINDS)
def test_who_knows_the_password_changes_it(callers: Callers, kind: str) -> None:
    caller = callers[kind]

    response = post(caller.api, "change", current=OLD, password=NEW)

    if kind in (NOBODY, INACTIVE):
        assert response.status_code == 401
    else:
        assert response.status_code == 204
        caller.user.refresh_from_db()
        assert caller.user.check_password(NEW)
        assert caller.api.get(reverse("api:user-list")).status_code == 401


def test_a_stolen_token_guesses_no_password(callers: Callers) -> None:
    api = callers[EDITOR].api
    answers = [
        post(api, "change", current="wrong", password=NEW) for _ in range(CHANGES + 1)
    ]

    assert [one.status_code for one in answers] == [400] * CHANGES + [429]
    assert list(answers[0].json()["errors"]) == ["current"]
    assert post(api, "change", current=OLD, password=NEW).status_code == 429


def test_the_link_leads_to_a_page_that_sets_the_password(callers: Callers) -> None:
    reset(MAIL)
    opened, browser = link_opened()

    form = {"new_password1": NEW, "new_password2": NEW}
    done = browser.post(opened, form, follow=True)

    assert "Password reset complete" in done.content.decode()
    assert log_in(VIEWER, NEW) == 200
    assert Entry.objects.filter(action="user.password").count() == 1


def test_the_inactive_get_in_by_no_page_of_a_link(callers: Callers) -> None:
    reset(MAIL)
    opened, browser = link_opened()
    User.objects.filter(username=VIEWER).update(is_active=False)

    shown = browser.get(opened)
    browser.post(opened, {"new_password1": NEW, "new_password2": NEW})

    assert "Password reset unsuccessful" in shown.text
    assert User.objects.get(username=VIEWER).check_password(OLD)


def test_of_two_who_use_a_link_at_once_one_is_late(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset(MAIL)
    (opened, late), first = link_opened(), "the horse of the first"
    clean = PasswordForm.clean

    def clean_and_be_overtaken(form: PasswordForm) -> Any:
        post(APIClient(), "set", password=first, **link())
        return clean(form)

    monkeypatch.setattr(PasswordForm, "clean", clean_and_be_overtaken)
    page = late.post(opened, {"new_password1": NEW, "new_password2": NEW})

    assert (page.status_code, log_in(VIEWER, first)) == (200, 200)
    assert "Password reset unsuccessful" in page.text
    assert Entry.objects.filter(action="user.password").count() == 1


def at_an_open_screen(callers: Callers) -> Client:
    """Return a browser in which an administrator is signed in to the admin."""
    user = callers[TENANT_ADMINISTRATOR].user
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    return browser


def change_in_admin(browser: Client, old: str) -> Any:
    given = {"old_password": old, "new_password1": NEW, "new_password2": NEW}
    return browser.post(reverse("admin:password_change"), given, follow=True)


def test_the_admin_changes_a_password_and_writes_that_down(callers: Callers) -> None:
    browser = at_an_open_screen(callers)
    page = browser.get(reverse("admin:password_change"))
    assert "Django administration" in page.text

    page = change_in_admin(browser, OLD)

    assert "Password change successful" in page.text
    assert log_in(TENANT_ADMINISTRATOR, NEW) == 200
    assert Entry.objects.filter(action="user.password").count() == 1
    # The one who changed it stays signed in.
    assert browser.get(reverse("admin:index")).status_code == 200


def test_an_open_screen_of_the_admin_guesses_no_password(callers: Callers) -> None:
    browser = at_an_open_screen(callers)
    for _number in range(CHANGES):
        assert "entered incorrectly" in change_in_admin(browser, "wrong").text

    page = change_in_admin(browser, OLD)

    assert "Please wait 60 minutes" in page.text
    assert log_in(TENANT_ADMINISTRATOR, NEW) == 401
    # The API counts the same attempts.
    api = callers[TENANT_ADMINISTRATOR].api
    assert post(api, "change", current=OLD, password=NEW).status_code == 429


def test_the_admin_offers_a_link_to_who_forgot_the_password(callers: Callers) -> None:
    browser = Client()
    asked = reverse("admin_password_reset")
    assert asked in browser.get(reverse("admin:login")).content.decode()

    for email in (MAIL, "nobody@example.org"):
        answer = browser.post(asked, {"email": email}, follow=True)
        assert answer.redirect_chain == [(reverse("password_reset_done"), 302)]

    assert [one.to for one in sent()] == [[MAIL]]


def test_links_lead_where_the_operator_says(
    callers: Callers, settings: Settings
) -> None:
    settings.SITE_URL = "https://store.example.org/"
    reset(MAIL)
    assert "\nhttps://store.example.org/accounts/set/" in str(sent()[-1].body)

    settings.PASSWORD_PAGE_URL = "https://app.example.org/set?u={uid}&t={token}"
    reset(MAIL)
    told = link()
    wanted = f"https://app.example.org/set?u={told['uid']}&t={told['token']}"
    assert f"\n{wanted}\n" in str(sent()[-1].body)
