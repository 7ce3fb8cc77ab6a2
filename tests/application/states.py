"""What a page shows for a moment only: dialogs, messages, uploads, errors.

Each is brought about in a page that is open and signed in, and looked at; what was
changed for it is put back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import Page, Route, expect

from tests.application.browser import WatchedPage

PIECE = 16 << 20
"""What the page sends in one request."""


def errors(watched: WatchedPage) -> None:
    """Pages that say what failed: such as no browser can bring about."""
    page, request = watched.page, RequestFactory().get("/files/")
    request.user = AnonymousUser()
    for name, template, status in (
        ("failed", "500.html", 500),
        ("store-away", "events/store_away.html", 503),
        ("store-gone", "events/store_gone.html", 503),
    ):
        body = render_to_string(template, request=request)
        open_as(page, f"/{name}/", body, status)
        watched.errors.clear()  # The browser tells of the status.
        watched.look(name)


def open_as(page: Page, path: str, body: str, status: int) -> None:
    """Open a path that this is the response to."""

    def respond(route: Route) -> None:
        route.fulfill(status=status, content_type="text/html", body=body)

    page.route(f"**{path}", respond)
    page.goto(path)


def menu_and_message(watched: WatchedPage) -> None:
    """The menu of a file, and the message after a deletion, which is undone."""
    page = watched.page
    menu = page.locator("summary", has_text="Actions for letters.zip")
    page.goto("/files/")
    menu.click()
    watched.look("menu")
    # Axe-core leaves attributes that htmx would carry over.
    page.reload()
    menu.click()
    page.locator("details[open]").get_by_role("button", name="Delete").click()
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    watched.look("undo")
    undo.click()
    expect(page.get_by_text("“letters.zip” is back.")).to_be_visible()


def dialogs(watched: WatchedPage) -> None:
    """A dialog, and one with an error in it."""
    page = watched.page
    # A link that htmx has not seen yet would open a page.
    page.goto("/files/")
    page.get_by_role("link", name="New folder").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    watched.look("new-folder")
    page.keyboard.press("Escape")
    page.locator("summary", has_text="Actions for letters.zip").click()
    page.get_by_role("link", name="Rename or move").click()
    dialog.get_by_label("Name").fill("bridge.jpg")
    dialog.get_by_role("button", name="Save").press("Enter")
    expect(dialog.get_by_text("another file of this name")).to_be_visible()
    expect(dialog.get_by_label("Name")).to_be_focused()
    watched.errors.clear()  # The browser tells of the status.
    watched.look("name-taken")
    page.keyboard.press("Escape")


def uploads(watched: WatchedPage) -> None:
    """Uploads on their way, and what is said after they were interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        look_at_uploads(watched, Path(folder))


def look_at_uploads(watched: WatchedPage, folder: Path) -> None:
    """Uploads of which one is half sent, one paused, one refused; and no one waits."""
    page, count = watched.page, 0

    def begin(route: Route) -> None:
        nonlocal count
        count += 1
        if count == 3:
            detail = "The tenant has no room for this object."
            route.fulfill(status=507, json={"detail": detail})
            return
        place = f"/api/v1/uploads/{count}/"
        route.fulfill(status=201, headers={"Location": place, "Upload-Offset": "0"})

    def take(route: Route) -> None:
        # The first piece comes through, and no other.
        if route.request.headers["upload-offset"] == "0":
            route.fulfill(status=204, headers={"Upload-Offset": str(PIECE)})

    page.goto("/files/?folder=new")
    page.route("**/files/uploads/", begin)
    page.route("**/api/v1/uploads/**", take)
    names = ("film of the harbour.mov", "paused.iso", "a-very-" * 20 + "long-name.bin")
    items = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    for number, name in enumerate(names):
        file = folder / name
        with file.open("wb") as sparse:
            sparse.truncate(2 * PIECE + 1000)
        page.get_by_label("Upload files").set_input_files(file)
        told = "no room" if number == 2 else "16.0 MB of 32.0 MB"
        expect(items.nth(number)).to_contain_text(told)
    page.get_by_role("button", name="Pause paused.iso").click()
    expect(items.nth(1)).to_contain_text("Paused at")
    watched.errors.clear()  # The browser tells of the status.
    watched.look("uploads")
    page.unroute("**/files/uploads/")
    page.unroute("**/api/v1/uploads/**")
    page.goto("/files/?folder=new")
    warned = page.get_by_role("region", name="Uploads that were interrupted")
    expect(warned).to_contain_text("paused.iso")
    watched.picture("interrupted")
    page.get_by_role("button", name="Forget them").click()


STATES = (errors, menu_and_message, dialogs, uploads)
