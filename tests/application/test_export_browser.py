"""Exports in a real browser: watched until the button enables itself, fetched."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.application.browser import DESK, LOOKS, PHONE, MakePage, Theme
from tests.application.site import (
    Environment,
    Site,
    bare_environment,
    make_tables,
    manage,
    served,
)

PEOPLE = """
import io
from accounts.models import Tenant, User
from objects import storing
from objects.incoming import IncomingFile
acme = Tenant.objects.create(name="Acme Archive", slug="acme")
ann = User.objects.create_user("ann", "ann@example.org", "of-the-tests", tenant=acme,
                               is_administrator=True)
for number in range(12):
    data = b"x" * 1000 * number
    storing.store(IncomingFile(io.BytesIO(data), len(data)), tenant=acme, user=ann,
                  folder="papers/2026", name=f"paper {number}.txt")
from exports import starting
starting.start_folder(ann, "nothing here")
starting.start_folder(ann, "papers/2026/with a name that is long enough to be cut" * 9)
starting.start_folder(ann, "papers")
"""
STATES = """
from datetime import timedelta
from accounts.models import User
from django.utils import timezone
from exports.models import Export
from exports.starting import KIND
from exports.importing import KIND as IMPORT
from jobs.models import Job
ann, now = User.objects.get(username="ann"), timezone.now()
LONG = " ".join(["Protokolle der Donaudampfschifffahrtsgesellschaftsversammlung"] * 3)
def make(name, state, job_state, label="Minutes", job=None, **values):
    ended = job_state not in ("waiting", "running")
    # Held by a worker that nobody waits for: no sweep changes what is seen.
    held = {"lease_until": now + timedelta(days=1), "of": values.get("size", 0)}
    job = held | (job or {})
    row = Job.objects.create(
        kind=KIND, owner=ann, tenant=ann.tenant, state=job_state,
        finished_at=now if ended else None, **{"turn": None} if ended else {}, **job)
    Export.objects.create(
        owner=ann, tenant=ann.tenant, kind="folder", folder=name, label=label,
        state=state, job=row, store="default", path=name, told_at=now, **values)
ready = {"ready_at": now, "files": 1284, "size": 2147483648}
later = {"due_at": now + timedelta(days=1)}
size = {"size": 2147483648}
make("start", "pending", "waiting", job=later)
make("running", "pending", "running", LONG, {"done": 1288490188}, **size)
make("again", "pending", "waiting", job=later | {
    "error": "The store failed. Please try again later.", "done": 0}, **size)
make("stopping", "pending", "running", job={"cancel_requested": True}, **size)
make("ready", "ready", "done", LONG, **ready)
make("pinned", "ready", "done", is_pinned=True, **ready)
make("failed", "failed", "failed", error="The file “minutes/2026/budget-of-the-"
     "association-and-of-all-its-branches-final-version-3.xlsx” is damaged in the "
     "store: its SHA-256 is another one. Restore it from a backup, or delete it.")
make("cancelled", "cancelled", "cancelled")
importing = {"kind": IMPORT, "owner": ann, "tenant": ann.tenant, "arguments": {}}
Job.objects.create(state="running", lease_until=now + timedelta(days=1), done=3, of=10,
                   error="running", **importing)
Job.objects.create(state="failed", turn=None, finished_at=now, **importing,
    error="The archive is not taken: “files/../../etc/passwd” leads out of it.")
Job.objects.create(state="cancelled", turn=None, finished_at=now, **importing)
print("\\n".join(f"/exports/{one.pk}/ {one.folder}" for one in
                 Export.objects.filter(told_at=now)))
print("\\n".join(f"/exports/imports/{one.pk}/ import-{one.state}" for one in
                 Job.objects.filter(kind=IMPORT, created_at__gte=now)))
"""
ONCE = ("jobs_worker", "--once")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    directory = tmp_path_factory.mktemp("site")
    made = bare_environment(directory)
    made["STORAGE_URL_COLD"] = (directory / "cold").as_uri()
    make_tables(made)
    manage(made, "shell", "--no-imports", "-c", PEOPLE)
    manage(made, *ONCE)
    return made


@pytest.fixture(scope="module")
def states(environment: Environment) -> dict[str, str]:
    """Addresses of exports and imports in each state, by what that is called."""
    told = manage(environment, "shell", "--no-imports", "-c", STATES)
    lines = [line.split() for line in told.splitlines() if line.startswith("/exports/")]
    return {name: path for path, name in lines}


@pytest.fixture(scope="module")
def site(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(environment, tmp_path_factory.mktemp("log") / "site.log") as site:
        yield site


def test_the_button_enables_itself_when_the_export_is_ready(
    site: Site, browser_page: MakePage, environment: Environment, tmp_path: Path
) -> None:
    watched = browser_page(site.address)
    watched.sign_in("ann")
    page = watched.page
    page.goto("/exports/")
    page.get_by_label("Folder", exact=True).fill("papers")
    page.get_by_role("button", name="Start the export").click()
    button = page.get_by_role("button", name="Download")
    expect(button).to_be_disabled()
    page.evaluate("window.same = true")
    # Who reads is left where they are by what asks each second, and told of an outage
    # once, and as long as it is one.
    for _ in range(2):
        page.wait_for_event("requestfinished", lambda one: "/state/" in one.url)
    assert page.evaluate("document.activeElement === document.body")
    page.route("**/state/", lambda route: route.abort())
    said = page.get_by_text("The site could not be reached.")
    said.evaluate("(message) => (message.id = 'first')")
    page.wait_for_event("requestfailed")
    expect(page.locator("#first")).to_have_count(1)
    page.unroute("**/state/")
    expect(said).to_have_count(0)
    watched.errors.clear()  # The browser tells of each request that failed.
    page.get_by_role("button", name="Cancel").focus()

    manage(environment, *ONCE)

    expect(button).to_be_enabled()
    expect(page.get_by_role("status").filter(has_text="12 files")).to_be_visible()
    # Without reloading; and the focus is not lost with the button that had it.
    assert page.evaluate("window.same")
    assert page.evaluate("document.activeElement !== document.body")
    with page.expect_download() as fetched:
        button.click()
    fetched.value.save_as(tmp_path / "papers.zip")
    with zipfile.ZipFile(tmp_path / "papers.zip") as zipped:
        assert zipped.testzip() is None
        assert len(json.loads(zipped.read("manifest.json"))["files"]) == 12
    page.goto("/exports/")
    expect(page.get_by_text("The export “papers” is ready.").first).to_be_visible()


def test_one_is_cancelled_by_the_keyboard(site: Site, browser_page: MakePage) -> None:
    watched = browser_page(site.address)
    watched.sign_in("ann")
    page = watched.page
    page.goto("/exports/")
    page.get_by_label("Folder", exact=True).fill("papers")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")

    state = page.locator("#export-status")
    expect(state).to_contain_text("Nothing was kept of it.")
    for name in ("Download", "Cancel"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_role("button", name="Export again").press("Enter")
    expect(state).to_contain_text("It begins in a moment.")
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(state).to_contain_text("Nothing was kept of it.")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_the_pages_are_sound(
    site: Site,
    browser_page: MakePage,
    environment: Environment,
    theme: Theme,
    width: int,
) -> None:
    assert width in {PHONE, DESK}
    watched = browser_page(site.address, theme, width)
    watched.sign_in("ann")
    page = watched.page
    page.goto("/exports/")
    page.get_by_label("Store of new exports").select_option("cold")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("New exports go to the store “cold”.")).to_be_visible()
    watched.look("exports")
    page.get_by_role("link", name="papers", exact=True).last.click()
    watched.look("export")
    page.get_by_role("button", name="Import as a new folder").click()
    manage(environment, *ONCE)
    expect(page.locator("#import-status")).to_contain_text("12 files are imported.")
    watched.look("import")
    page.get_by_role("main").get_by_role("link", name=re.compile("^imported")).click()
    expect(page.get_by_role("link", name="2026", exact=True)).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_each_state_is_sound(
    site: Site,
    browser_page: MakePage,
    states: dict[str, str],
    theme: Theme,
    width: int,
) -> None:
    watched = browser_page(site.address, theme, width)
    watched.sign_in("ann")
    assert len(states) == 11
    for name, path in states.items():
        watched.page.goto(path)
        watched.look(f"export-{name}")
    watched.page.goto(states["ready"])
    watched.page.locator("summary", has_text="Delete").click()
    watched.look("export-delete")
    watched.page.goto("/exports/")
    watched.look("exports-states")
