"""Signing in to the pages and out of them, and the policy that pages come with."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from accounts.logins import FREE_OF_NAME
from accounts.models import User
from pages.policy import origin_of_static_files
from tests.application.callers import VIEWER, Callers

pytestmark = pytest.mark.django_db
SIGN_IN = "/accounts/sign-in/"


def test_who_signs_in_goes_on_to_the_page_they_wanted(user: User) -> None:
    browser = Client()
    response = browser.post(
        SIGN_IN, {"username": "ann", "password": "secret", "next": "/accounts/reset/"}
    )

    assert response.status_code == 302
    assert response.headers["Location"] == "/accounts/reset/"
    assert "_auth_user_id" in browser.session


def test_it_leads_to_no_other_site(user: User) -> None:
    response = Client().post(
        SIGN_IN, {"username": "ann", "password": "secret", "next": "//evil.example/"}
    )

    assert response.headers["Location"] == "/files/"


def test_a_wrong_password_is_said_without_saying_which_is_wrong(user: User) -> None:
    pages = [
        Client().post(SIGN_IN, {"username": name, "password": "wrong"}).text
        for name in ("ann", "nobody")
    ]

    assert all('role="alert"' in page for page in pages)
    assert pages[0].count("correct username") == pages[1].count("correct username") == 1


def test_too_many_attempts_are_told_to_wait(user: User) -> None:
    for _ in range(FREE_OF_NAME + 1):
        Client().post(SIGN_IN, {"username": "ann", "password": "wrong"})

    page = Client().post(SIGN_IN, {"username": "ann", "password": "secret"})

    assert "Please wait a minute" in page.text
    assert "_auth_user_id" not in page.client.session


def test_signing_out_ends_the_session(user: User) -> None:
    browser = Client()
    browser.force_login(user)

    response = browser.post("/accounts/sign-out/")

    assert response.headers["Location"] == SIGN_IN
    assert "_auth_user_id" not in browser.session


def test_pages_load_only_what_is_the_sites_own(callers: Callers) -> None:
    policy = Client().get(SIGN_IN).headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_bucket_of_static_files_is_known_while_it_is_away(
    settings: Settings,
) -> None:
    """And it alone: on the host of a bucket others have theirs."""
    options = {
        "bucket_name": "static",
        "endpoint_url": "http://127.0.0.1:1",
        "addressing_style": "path",
        "region_name": "us-east-1",
        "access_key": "a",
        "secret_key": "b",
    }
    kind = "tahoestorage.backends.s3.S3ManifestStaticStorage"
    hashed = {"BACKEND": kind, "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": hashed}

    assert origin_of_static_files() == "http://127.0.0.1:1/static/"


def test_the_apis_page_keeps_its_own_policy(callers: Callers) -> None:
    policy = Client().get(reverse("api:docs")).headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("path", [SIGN_IN, "/accounts/reset/", "/nowhere/"])
def test_no_page_has_a_script_or_a_style_in_it(path: str, db: None) -> None:
    page = Client().get(path).text

    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == page.count("<script src=")


def test_an_error_is_a_page_for_people_and_a_problem_for_programs(
    callers: Callers,
) -> None:
    page = Client().get("/nowhere/")
    problem = callers[VIEWER].api.get("/api/v1/nowhere/")

    assert "Not here" in page.text
    assert page.headers["Content-Type"].startswith("text/html")
    assert problem.headers["Content-Type"] == "application/problem+json"


def test_the_start_is_ones_files_or_the_published_events(user: User) -> None:
    browser = Client()

    assert browser.get("/").headers["Location"] == "/events/"
    browser.force_login(user)
    assert browser.get("/").headers["Location"] == "/files/"
