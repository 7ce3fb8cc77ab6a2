"""The organisers' pages in a real browser: sound, and usable by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.application.browser import (
    DESK,
    LOOKS,
    MakePage,
    Theme,
    WatchedPage,
    drop,
)
from tests.application.site import (
    EVENT,
    EVENTS,
    ORGANISER,
    PHOTO_FORM,
    SLIDES_FORM,
    Environment,
    Site,
    bare_environment,
    image,
    make_tables,
    make_thumbnails,
    manage,
    served,
)

LONG = "A very long title that goes on, and on: " + "Donaudampfschifffahrt" * 3
MAKE = f"""
from accounts.models import User
from events import organising
from events.models import Event, Session, Speaker
event = Event.objects.get(slug="storage-day")
Speaker.objects.create(event=event, name="Nobody Known", position=9)
Session.objects.create(event=event, title="{LONG}", position=9)
empty = Event(name="Cellar Day", slug="cellar-day", place="Cellar", published=True,
              tenant=event.tenant, starts_at=event.starts_at)
organising.create(empty, User.objects.get(username="{ORGANISER}"))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = bare_environment(tmp_path_factory.mktemp("site"))
    make_tables(made)
    manage(made, "demo_data")
    manage(made, "shell", "--no-imports", "-c", MAKE)
    return made


@pytest.fixture(scope="module")
def site(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(environment, tmp_path_factory.mktemp("log") / "site.log") as site:
        make_thumbnails(environment, site)
        yield site


def see_all(page: Page) -> None:
    """Scroll to each picture, so that all of them are loaded."""
    for photo in page.get_by_role("img").all():
        photo.scroll_into_view_if_needed()
        expect(photo).to_have_js_property("complete", True)
    page.evaluate("scrollTo(0, 0)")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_the_pages_are_sound(
    site: Site, browser_page: MakePage, theme: Theme, width: int
) -> None:
    watched = browser_page(site.address, theme, width)
    page = watched.page
    page.goto(EVENT)
    see_all(page)
    watched.look("event")
    page.goto(f"{EVENTS}cellar-day/")
    watched.look("event-empty")
    watched.sign_in(ORGANISER)
    for name, path in (
        ("events", EVENTS),
        ("event-organiser", EVENT),
        ("event-new", f"{EVENTS}new/"),
        ("event-edit", f"{EVENT}edit/"),
        ("event-access", f"{EVENT}access/"),
        ("event-delete", f"{EVENT}delete/"),
        ("event-speaker", PHOTO_FORM),
        ("event-session", SLIDES_FORM),
        ("event-speaker-edit", f"{EVENT}speakers/1/edit/"),
        ("event-session-delete", f"{EVENT}sessions/1/delete/"),
        ("event-speaker-delete", f"{EVENT}speakers/1/delete/"),
        ("event-empty-organiser", f"{EVENTS}cellar-day/"),
    ):
        page.goto(path)
        see_all(page)
        watched.look(name)


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_forms_with_errors_are_sound(
    site: Site, browser_page: MakePage, theme: Theme, width: int
) -> None:
    watched = browser_page(site.address, theme, width)
    page = watched.page
    watched.sign_in(ORGANISER)
    # The browser itself would ask for what is missing.
    unchecked = "form => { form.noValidate = true; }"
    for name, path in (
        ("event-new-errors", f"{EVENTS}new/"),
        ("event-speaker-errors", PHOTO_FORM),
    ):
        page.goto(path)
        form = page.get_by_role("main").locator("form")
        form.evaluate(unchecked)
        form.get_by_role("button", name="Save").press("Enter")
        expect(form.get_by_text("This field is required.").first).to_be_visible()
        if path == PHOTO_FORM:  # It was sent by a script.
            expect(page.get_by_label("Name")).to_be_focused()
        else:
            expect(page.get_by_role("alert")).to_be_focused()
        watched.errors.clear()  # The browser tells of the status.
        watched.look(name)


def test_an_event_is_made_by_the_keyboard_alone(
    site: Site, environment: Environment, browser_page: MakePage
) -> None:
    watched = browser_page(site.address)
    page = watched.page
    watched.sign_in(ORGANISER)
    page.goto(EVENTS)
    page.get_by_role("link", name="New event").press("Enter")
    page.get_by_label("Name").fill("Keyboard Day")
    page.get_by_label("Beginning").fill("2026-05-01T10:30")
    page.get_by_label("Place").fill("Cellar")
    page.get_by_role("button", name="Save").press("Enter")

    expect(page.get_by_role("heading", name="Keyboard Day")).to_be_visible()
    expect(page.get_by_text("Friday 1 May 2026, 10:30")).to_be_visible()
    expect(page.get_by_text("Draft", exact=True)).to_be_visible()
    for name in ("Ada", "Bo"):
        page.get_by_role("link", name="Add a speaker").press("Enter")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Photo").set_input_files(
            {"name": f"{name}.png", "mimeType": "image/png", "buffer": image("PNG")}
        )
        page.get_by_role("button", name="Save").press("Enter")
        photo = page.get_by_role("img", name=f"Photo of {name}")
        # A drawing stands in, until a worker has made the small picture.
        expect(photo).to_have_js_property("naturalWidth", 23)
    manage(environment, "jobs_worker", "--once")
    expect(photo).to_have_js_property("naturalWidth", 40)


def test_a_form_that_is_under_way_is_not_sent_again(
    site: Site, browser_page: MakePage
) -> None:
    watched = browser_page(site.address)
    page = watched.page
    watched.sign_in(ORGANISER)
    page.goto(f"{EVENTS}new/")
    page.get_by_label("Name").fill("Slow Day")
    page.get_by_label("Beginning").fill("2026-05-01T10:30")
    page.get_by_label("Place").fill("Cellar")

    # The last to hear of it: whether the browser would send it.
    refused = page.evaluate(
        """() => {
            const form = document.querySelector("main form");
            const refused = [];
            document.addEventListener("submit", (event) => {
                refused.push(event.defaultPrevented);
                event.preventDefault();
            });
            form.requestSubmit();
            form.requestSubmit();
            // Who comes back to the page may send it again.
            window.dispatchEvent(new PageTransitionEvent("pageshow"));
            form.requestSubmit();
            return refused;
        }"""
    )

    assert refused == [False, True, False]


def test_what_is_moved_keeps_the_focus_and_is_told(
    site: Site, browser_page: MakePage
) -> None:
    watched = browser_page(site.address)
    page = watched.page
    watched.sign_in(ORGANISER)
    page.goto(EVENT)
    names = page.locator("#speakers-list li > span")
    first, second = names.nth(0).inner_text(), names.nth(1).inner_text()
    button = page.get_by_role("button", name=f"Move {first} towards the end")

    button.press("Enter")

    expect(names.nth(0)).to_have_text(second)
    expect(
        page.get_by_role("status").get_by_text(f"{first} is number 2")
    ).to_be_attached()
    expect(button).to_be_focused()
    page.reload()
    expect(names.nth(1)).to_have_text(first)


def test_what_was_open_is_sent_after_signing_in_again_in_another_window(
    site: Site, browser_page: MakePage
) -> None:
    watched = browser_page(site.address)
    form = watched.page
    watched.sign_in(ORGANISER)
    form.goto(f"{EVENTS}cellar-day/add-photo/#main")
    form.get_by_label("Name").fill("Late Comer")
    form.get_by_label("Photo").set_input_files(
        {"name": "late.png", "mimeType": "image/png", "buffer": image("PNG")}
    )
    event = form.context.new_page()
    event.goto(EVENT)
    names = event.locator("#speakers-list li > span")
    first, second = names.nth(0).inner_text(), names.nth(1).inner_text()
    form.context.clear_cookies()
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_text("You are not signed in any more")).to_be_visible()
    WatchedPage(form.context.new_page(), "light", DESK).sign_in(ORGANISER)

    form.get_by_role("button", name="Save").click()
    event.get_by_role("button", name=f"Move {first} towards the end").click()

    expect(form.get_by_role("heading", name="Cellar Day")).to_be_visible()
    expect(form.get_by_text("Late Comer").first).to_be_visible()
    expect(names.nth(0)).to_have_text(second)


def test_files_are_dropped_on_an_event_paused_and_gone_on_with(
    site: Site, browser_page: MakePage, tmp_path: Path
) -> None:
    watched = browser_page(site.address)
    page = watched.page
    watched.sign_in(ORGANISER)
    page.goto(f"{EVENTS}new/")
    page.get_by_label("Name").fill("Full Day")
    page.get_by_label("Beginning").fill("2026-05-01T10:30")
    page.get_by_label("Place").fill("Cellar")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Full Day")).to_be_visible()
    page.wait_for_load_state()  # The script takes what is dropped from here on.
    photo, slides = tmp_path / "Ada Lovelace.png", tmp_path / f"{'plan-' * 30}.pdf"
    photo.write_bytes(image("PNG"))
    slides.write_bytes(b"%PDF")
    # Nothing gets through until the route is gone.
    page.route("**/api/v1/uploads/**", lambda route: None)
    begun: set[str] = set()

    def are_both_begun(request: Request) -> bool:
        if request.method == "PATCH":
            begun.add(request.url)
        return len(begun) == 2

    with page.expect_request(are_both_begun):
        drop(page, photo, slides)

    uploads = page.get_by_role("region", name="Uploads")
    expect(uploads.get_by_role("progressbar")).to_have_count(2)
    for file in (photo, slides):
        uploads.get_by_role("button", name=f"Pause {file.name}").click()
    expect(uploads.get_by_text("Paused at")).to_have_count(2)
    watched.errors[:] = [one for one in watched.errors if "Failed to load" not in one]
    watched.picture("event-uploads")
    page.unroute("**/api/v1/uploads/**")
    for file in (photo, slides):
        uploads.get_by_role("button", name=f"Go on {file.name}").click()
    expect(uploads.get_by_text("Uploaded", exact=True)).to_have_count(2)
    # The page is the same: what came is put into it.
    expect(page.get_by_role("img", name="Photo of Ada Lovelace")).to_be_visible()
    expect(page.get_by_role("heading", name="plan-plan-")).to_be_visible()
    expect(uploads.get_by_role("status")).to_have_text("2 files are uploaded.")
    watched.errors[:] = [one for one in watched.errors if "Failed to load" not in one]


def test_files_are_sent_after_signing_in_again_in_another_window(
    site: Site, browser_page: MakePage, tmp_path: Path
) -> None:
    watched = browser_page(site.address)
    page = watched.page
    watched.sign_in(ORGANISER)
    page.goto(f"{EVENTS}cellar-day/")
    page.context.clear_cookies()
    WatchedPage(page.context.new_page(), "light", DESK).sign_in(ORGANISER)
    late = tmp_path / "late.pdf"
    late.write_bytes(b"%PDF")

    page.get_by_label("Upload photos and slides").set_input_files(late)

    uploads = page.get_by_role("region", name="Uploads")
    expect(uploads.get_by_text("Uploaded", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="late.pdf")).to_be_visible()
