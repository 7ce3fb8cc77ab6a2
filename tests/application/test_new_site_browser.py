"""A new site in a real browser: its empty pages, its refusals, and a first password."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.application.browser import LOOKS, MakePage, Theme, WatchedPage
from tests.application.site import (
    PASSWORD,
    Environment,
    Site,
    bare_environment,
    make_tables,
    manage,
    served,
)

# Nobody has a file or an event. Where a mail sends bob, without a password, is printed.
PEOPLE = f"""
from accounts.models import Tenant, User
from django.contrib.auth.tokens import default_token_generator as tokens
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode
acme = Tenant.objects.create(name="Acme Archive", slug="acme")
User.objects.create_user("ann", "ann@example.org", "{PASSWORD}", tenant=acme)
bob = User.objects.create_user("bob", "bob@example.org", tenant=acme)
uid = urlsafe_base64_encode(b"%d" % bob.pk)
print(reverse("password_reset_confirm", args=[uid, tokens.make_token(bob)]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = bare_environment(tmp_path_factory.mktemp("site"))
    make_tables(made)
    return made


@pytest.fixture(scope="module")
def mail_link(environment: Environment) -> str:
    return manage(environment, "shell", "--no-imports", "-c", PEOPLE).strip()


@pytest.fixture(scope="module")
def site(
    environment: Environment, mail_link: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(environment, tmp_path_factory.mktemp("log") / "site.log") as site:
        yield site


def see(watched: WatchedPage, name: str, path: str, text: str) -> None:
    """Open the page, assert that it says this, and look at it."""
    watched.page.goto(path)
    expect(watched.page.get_by_text(text)).to_be_visible()
    watched.errors.clear()  # The browser tells of the status.
    watched.look(name)


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_a_password_is_set_by_sound_pages(
    site: Site, browser_page: MakePage, mail_link: str, theme: Theme, width: int
) -> None:
    watched = browser_page(site.address, theme, width)
    for name, path, text in (
        ("password-sent", "/accounts/reset/done/", "Look among the unwanted mail"),
        ("password-link-used", "/accounts/set/MQ/no-token/", "not valid any more"),
        ("password-changed", "/accounts/set/done/", "You can sign in now"),
    ):
        see(watched, name, path, text)
    see(watched, "password-new", mail_link, "Set the password")
    page = watched.page
    page.get_by_label("New password", exact=True).fill("one-that-is-long")
    page.get_by_label("New password confirmation").fill("another-that-is-long")
    page.get_by_role("button", name="Set the password").press("Enter")
    expect(page.get_by_text("The two password fields")).to_be_visible()
    watched.look("password-unlike")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_what_is_empty_and_what_is_refused_is_sound(
    site: Site, browser_page: MakePage, theme: Theme, width: int
) -> None:
    watched = browser_page(site.address, theme, width)
    page = watched.page
    see(watched, "events-none", "/events/", "Nothing is published")
    see(watched, "share-gone", "/s/no-such-token", "leads nowhere any more")
    watched.sign_in("ann")
    for name, path, text in (
        ("files-none", "/files/", "No files yet"),
        ("deleted-none", "/files/deleted/", "Nothing here"),
        ("events-none-organiser", "/events/", "An event has a page"),
        ("not-allowed", "/status/", "This page is for administrators"),
        # By a name that is none of its own.
        ("not-understood", site.address.replace("127.0.0.1", "localhost"), "anew"),
    ):
        see(watched, name, path, text)
    page.goto("/events/new/")
    page.get_by_label("Name").fill("Day of the Cellar")
    page.get_by_label("Beginning").fill("2026-05-01T10:30")
    page.get_by_label("Place").fill("Cellar")
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_text("The form was too old")).to_be_visible()
    watched.errors.clear()  # The browser tells of the status.
    watched.look("form-too-old")


def test_the_page_to_try_the_api_needs_no_style_but_the_sites(
    site: Site, browser_page: MakePage
) -> None:
    watched = browser_page(site.address)
    watched.sign_in("ann")
    page = watched.page
    page.goto("/api/v1/docs/")
    operation = page.locator(".opblock-get").filter(has_text="/api/v1/objects/").first
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    with page.expect_response("**/api/v1/objects/*"):
        operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table")).to_be_visible()
    # Each style or script that the policy refuses is an error on the console.
    refused = [error for error in watched.errors if "Content Security" in error]
    assert refused == []
    watched.errors.clear()  # The browser tells of the status.
