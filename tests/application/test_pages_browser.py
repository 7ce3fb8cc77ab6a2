"""The pages in a real browser, on a real grid, with a worker that makes thumbnails."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tahoestorage.testing.grid import LocalGrid
from tests.application.browser import (
    LOOKS,
    PHONE,
    MakePage,
    Theme,
    WatchedPage,
    drop,
)
from tests.application.cutting import upload_through_restart, upload_with_cuts
from tests.application.site import (
    ROOT,
    Environment,
    Site,
    grid_environment,
    manage,
    served,
    working,
)
from tests.application.states import STATES

FILL = (
    "from tests.application.filling import fill, fill_usage; "
    "from tests.support.webm import video; fill(video(30)); fill_usage()"
)
FILL_STATUS = "from tests.application.filling import fill_status; fill_status()"


@pytest.fixture(scope="module")
def environment(
    tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    directory = tmp_path_factory.mktemp("site")
    made = grid_environment(tahoe_grid, directory)
    # What a cut connection loses at most.
    made |= {"UPLOAD_PART_BYTES": str(1 << 20)}
    with_tests = made | {"PYTHONPATH": str(ROOT)}
    manage(with_tests, "shell", "--no-imports", "-c", FILL)
    manage(made, "jobs_worker", "--once")
    manage(with_tests, "shell", "--no-imports", "-c", FILL_STATUS)
    return made


@pytest.fixture(scope="module")
def site(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("log")
    with (
        working(environment, directory / "worker.log"),
        served(environment, directory / "site.log") as site,
    ):
        yield site


@pytest.fixture
def ann(site: Site, browser_page: MakePage) -> WatchedPage:
    """Somebody who is signed in, at a desk."""
    watched = browser_page(site.address)
    watched.sign_in("ann")
    return watched


@pytest.mark.timeout(900)  # Many pages, each of which axe-core reads.
@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_every_page_is_sound(
    site: Site, browser_page: MakePage, theme: Theme, width: int
) -> None:
    tour(browser_page(site.address, theme, width))


def tour(watched: WatchedPage) -> None:
    """Look at every page, as ann."""
    page = watched.page
    for name, path in (
        ("sign-in", "/accounts/sign-in/?next=/usage/"),
        ("password", "/accounts/reset/"),
    ):
        page.goto(path)
        watched.look(name)
    watched.sign_in("ann")
    for state in STATES:
        state(watched)
    for name, path in (
        ("files", "/files/"),
        ("folder", "/files/?folder=papers"),
        ("pictures", "/files/?folder=photos/2026"),
        ("empty", "/files/?folder=new"),
        ("found", "/files/?q=photos"),
        ("not-found", "/files/?q=nowhere"),
        ("deleted", "/files/deleted/"),
        ("usage", "/usage/"),
        ("status", "/status/"),
    ):
        page.goto(path)
        if name == "usage":
            expect(page.get_by_text("exports", exact=True)).to_be_visible()
        if name == "pictures":
            shown = "img => img.complete && img.naturalWidth > 40"
            first = page.locator("img.thumb").first
            page.wait_for_function(shown, arg=first.element_handle())
        watched.look(name)
    for name, folder, file in (
        ("text", "papers", "plan.txt"),
        ("pdf", "papers", "survey.pdf"),
        ("film", "films", "ferry.webm"),
        ("picture", "", "bridge.jpg"),
        ("no-preview", "", "letters.zip"),
    ):
        page.goto(f"/files/?folder={folder}")
        page.get_by_role("link", name=re.compile(f"^{re.escape(file)}")).click()
        expect(page.get_by_role("heading", name=file)).to_be_visible()
        watched.look(name)
    page.get_by_role("link", name="Share").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    watched.look("share")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Rename or move").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    watched.look("rename")
    page.goto("/files/00000000-0000-0000-0000-000000000000/")
    watched.errors.clear()  # The browser tells of the status.
    watched.look("not-there")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_an_operators_pages_are_sound(
    site: Site,
    environment: Environment,
    browser_page: MakePage,
    theme: Theme,
    width: int,
) -> None:
    watched = browser_page(site.address, theme, width)
    watched.instead = {
        environment["TAHOE_STORAGE_CACHE_DIRECTORY"]: "/var/cache/tahoestorage",
        environment["TAHOE_STORAGE_BASE_URL"]: "http://127.0.0.1:3456",
    }
    watched.sign_in("olga")
    for name, path, text in (
        # The last that comes: a gateway was asked.
        ("status-operator", "/status/", "The grid of “default”"),
        ("usage-operator", "/usage/", "By tenant"),
    ):
        watched.page.goto(path)
        expect(watched.page.get_by_text(text)).to_be_visible()
        watched.look(name)


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_the_page_of_no_exports_is_sound(
    site: Site, browser_page: MakePage, theme: Theme, width: int
) -> None:
    watched = browser_page(site.address, theme, width)
    watched.sign_in("cleo")
    watched.page.goto("/exports/")
    watched.look("exports-empty")


def test_no_thumbnail_is_asked_for_before_the_page_is_complete(
    ann: WatchedPage,
) -> None:
    page = ann.page
    asked: list[str] = []
    held: list[Route] = []
    page.on("request", lambda request: asked.append(request.url))

    def hold(route: Route) -> None:
        held.append(route)

    # Pictures that load at once are asked for without the style, and lazy ones are not.
    page.route("**/*.css", hold)
    with page.expect_request_finished(lambda one: one.is_navigation_request()):
        page.goto("/files/?folder=photos/2026", wait_until="commit")
    while not held:
        page.wait_for_timeout(50)

    assert [url for url in asked if "/thumbnail/" in url] == []
    for route in held:
        route.continue_()
    shown = "img => img.complete && img.naturalWidth > 0"
    first = page.locator("img.thumb").first
    page.wait_for_function(shown, arg=first.element_handle())
    assert any("/thumbnail/" in url for url in asked)


def test_a_job_is_stopped_by_the_keyboard(site: Site, browser_page: MakePage) -> None:
    watched = browser_page(site.address)
    watched.sign_in("olga")
    page = watched.page
    page.goto("/status/")
    page.get_by_role("button", name="Cancel exports.import").press("Enter")

    expect(page.get_by_text("It is cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel exports.import")).to_have_count(0)
    # The list has asked for itself, and the message is still there.
    with page.expect_response("**/status/jobs/"):
        pass
    expect(page.get_by_text("It is cancelled")).to_be_visible()


def test_the_keyboard_alone_renames_a_file_and_focus_comes_back(
    ann: WatchedPage,
) -> None:
    page = ann.page
    page.goto("/files/?folder=papers")
    menu = page.locator("summary", has_text="Actions for budget.ods")
    menu.focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Rename or move").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Rename or move")
    expect(dialog).to_be_visible()

    dialog.get_by_label("Name").fill("plan.txt")
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("another file of this name")).to_be_visible()
    dialog.get_by_label("Name").fill("budget 2026.ods")
    page.keyboard.press("Enter")

    expect(dialog).to_be_hidden()
    expect(page.get_by_role("status").first).to_contain_text("is saved")
    expect(page.get_by_role("link", name=re.compile("^budget 2026"))).to_be_visible()
    renamed = page.locator("summary", has_text="Actions for budget 2026.ods")
    expect(renamed).to_be_focused()
    ann.errors[:] = [one for one in ann.errors if "422" not in one]


def test_what_fails_in_a_dialog_is_said_in_it(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/?folder=papers")
    page.get_by_role("link", name="New folder").click()
    dialog = page.get_by_role("dialog", name="New folder")
    dialog.get_by_label("Name").fill("later")
    page.route("**/files/new-folder/**", lambda route: route.fulfill(status=503))
    dialog.get_by_role("button", name="Go there").click()
    alert = dialog.get_by_role("alert")
    expect(alert).to_have_text(re.compile("did not respond"))

    page.unroute("**/files/new-folder/**")
    page.route("**/files/new-folder/**", lambda route: route.fulfill(status=403))
    dialog.get_by_role("button", name="Go there").click()

    expect(alert).to_have_text("That is not allowed.")
    expect(page.get_by_role("main").get_by_text("not allowed")).to_have_count(1)
    page.unroute("**/files/new-folder/**")
    dialog.get_by_role("button", name="Go there").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("alert")).to_have_count(0)
    ann.errors.clear()  # The browser tells of the statuses.


def test_a_form_that_is_sent_as_soon_as_it_is_there_stays_in_its_dialog(
    ann: WatchedPage,
) -> None:
    """Whoever types fast has it sent by the script, and not by the browser."""
    page = ann.page
    page.goto("/files/?folder=papers")
    page.evaluate(
        """window.isTheSame = true;
        document.addEventListener("htmx:afterSwap", () => {
            const form = document.querySelector("dialog form");
            if (form) setTimeout(() => form.requestSubmit());
        }, { once: true })"""
    )
    page.locator("summary", has_text="Actions for plan.txt").click()
    page.get_by_role("link", name="Rename or move").click()
    expect(page.get_by_role("status").first).to_contain_text("is saved")
    assert page.evaluate("window.isTheSame === true")


def test_a_deletion_is_undone_from_its_message(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/?sort=-name")
    page.locator("summary", has_text="Actions for read me.txt").click()
    page.locator("details[open]").get_by_role("button", name="Delete").click()

    message = page.get_by_role("status").first
    expect(message).to_contain_text("“read me.txt” was deleted")
    expect(page.get_by_role("link", name=re.compile("^read me.txt"))).to_be_hidden()
    assert "sort=-name" in page.url
    assert page.evaluate("document.activeElement !== document.body")
    message.get_by_role("button", name="Undo").click()

    expect(page.get_by_role("link", name=re.compile("^read me.txt"))).to_be_visible()
    expect(message).to_contain_text("is back")
    page.get_by_role("link", name="papers", exact=True).click()
    expect(message).not_to_contain_text("is back")


def test_files_are_dropped_and_each_shows_its_progress(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/?folder=dropped")
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            for (const name of ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"]) {
                const text = name.repeat(1000);
                data.items.add(new File([text], name, {type: "text/plain"}));
            }
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const event = new DragEvent(kind, {dataTransfer: data, bubbles: true,
                    cancelable: true});
                document.querySelector("main").dispatchEvent(event);
            }
        }"""
    )

    uploads = page.get_by_role("region", name="Uploads")
    expect(uploads.get_by_role("listitem")).to_have_count(5)
    expect(uploads.get_by_text("Uploaded", exact=True)).to_have_count(5)
    expect(uploads.get_by_role("status")).to_have_text("5 files are uploaded.")
    expect(page.locator("a.entry")).to_have_count(5)
    expect(uploads.get_by_role("progressbar", name="Progress of a.txt")).to_be_visible()


def test_a_dropped_folder_comes_with_all_that_is_in_it(
    ann: WatchedPage, tmp_path: Path
) -> None:
    page, trip = ann.page, tmp_path / "trip"
    (trip / "day 1").mkdir(parents=True)
    (trip / "none").mkdir()
    for name in ("plan.txt", "day 1/a.txt", "day 1/b.txt"):
        (trip / name).write_text(name)
    beside = tmp_path / "beside.txt"
    beside.write_text("beside")
    page.goto("/files/?folder=with-folders")
    search = page.get_by_label("Search in this folder")
    search.fill("har")

    drop(page, trip, beside)

    uploads = page.get_by_role("region", name="Uploads")
    expect(uploads.get_by_role("status")).to_have_text("4 files are uploaded.")
    shown = uploads.get_by_role("listitem").locator(".name").all_inner_texts()
    assert sorted(shown) == [
        "with-folders/beside.txt",
        "with-folders/trip/day 1/a.txt",
        "with-folders/trip/day 1/b.txt",
        "with-folders/trip/plan.txt",
    ]
    # What is typed meanwhile stays: the list is renewed once it is left. That would
    # have begun before this timer ends.
    page.evaluate("new Promise((done) => setTimeout(done, 400))")
    page.wait_for_load_state("networkidle")
    expect(search).to_have_value("har")
    search.blur()
    expect(page.locator("a.entry")).to_have_count(2)
    page.goto("/files/?folder=with-folders/trip/day 1")
    expect(page.locator("a.entry")).to_have_count(2)

    drop(page, trip / "none")

    expect(page.get_by_text("There are no files in that folder.")).to_be_visible()


def test_an_upload_is_paused_gone_on_with_and_stopped(
    ann: WatchedPage, tmp_path: Path
) -> None:
    page, file = ann.page, tmp_path / "large.bin"
    file.write_bytes(random.Random(1).randbytes(3 << 20))
    page.goto("/files/?folder=paused")
    # Nothing gets through until the route is gone.
    page.route("**/api/v1/uploads/**", lambda route: None)
    page.get_by_label("Upload files").set_input_files(file)
    item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    item.get_by_role("button", name="Pause large.bin").click()
    expect(item).to_contain_text("Paused at")
    page.unroute("**/api/v1/uploads/**")

    item.get_by_role("button", name="Go on large.bin").press("Enter")
    expect(item).to_contain_text("Uploaded")
    expect(item.get_by_role("button", name="Put away large.bin")).to_be_focused()
    expect(page.locator("a.entry")).to_have_count(1)

    page.route("**/api/v1/uploads/**", lambda route: None)
    file.write_bytes(random.Random(2).randbytes(2 << 20))
    page.get_by_label("Upload files").set_input_files(file)
    item = page.get_by_role("region", name="Uploads").get_by_role("listitem").last
    expect(item.get_by_role("button", name="Stop large.bin")).to_be_visible()
    page.unroute("**/api/v1/uploads/**")
    item.get_by_role("button", name="Stop large.bin").click()
    expect(item).to_contain_text("Stopped")
    # The browser tells of each request that was cut off, and of each 423 until the
    # server has noticed that.
    ann.errors[:] = [one for one in ann.errors if "Failed to load" not in one]


def test_an_upload_outlives_cut_connections_and_a_reload(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "film.bin"
    file.write_bytes(random.Random(3).randbytes(20 << 20))

    outcome = upload_with_cuts(browser, site.address, file)

    assert outcome.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    # It went on behind what had come: the first connection was cut in the first piece,
    # so that nothing was taken to its end that begins the file.
    assert outcome.taken_at
    assert min(outcome.taken_at) > 0
    assert outcome.begun == 1


def test_an_upload_goes_on_when_the_site_behind_its_web_server_has_started_again(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "boat.bin"
    file.write_bytes(random.Random(4).randbytes(4 << 20))

    outcome = upload_through_restart(browser, site.address, file)

    assert outcome.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert outcome.begun == 1


def test_what_a_job_stores_shows_its_progress_and_is_stopped(
    ann: WatchedPage, tmp_path: Path
) -> None:
    page, file = ann.page, tmp_path / "long.bin"
    file.write_bytes(random.Random(5).randbytes((1 << 20) + 1))
    # As a job of a larger one has it for longer.
    told = {"state": "running", "error": "", "done": 4, "of": 10}
    page.route("**/files/uploads/jobs/**", lambda route: route.fulfill(json=told))
    page.goto("/files/?folder=long")
    page.get_by_label("Upload files").set_input_files(file)
    item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    expect(item).to_contain_text("Being stored… 40 %")

    with page.expect_request(lambda request: request.method == "DELETE"):
        item.get_by_role("button", name="Stop long.bin").click()

    expect(item).to_contain_text("Stopped")
    told |= {"state": "failed", "error": "The object was deleted meanwhile."}
    page.get_by_label("Upload files").set_input_files(file)
    item = page.get_by_role("region", name="Uploads").get_by_role("listitem").last
    expect(item).to_contain_text("The object was deleted meanwhile.")
    expect(item.get_by_role("button", name="Try again long.bin")).to_be_visible()
    # The browser tells of each 423 until the worker has stopped.
    ann.errors[:] = [one for one in ann.errors if "Failed to load" not in one]


def test_what_is_refused_says_why(ann: WatchedPage, tmp_path: Path) -> None:
    page, file = ann.page, tmp_path / "huge.bin"
    file.write_bytes(bytes(300 << 20 >> 7))
    told = {"detail": "The tenant has no room for this object."}
    page.route("**/files/uploads/", lambda route: route.fulfill(status=507, json=told))
    page.goto("/files/")
    page.get_by_label("Upload files").set_input_files(file)

    item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    expect(item).to_contain_text("The tenant has no room")
    told.clear()
    item.get_by_role("button", name="Try again huge.bin").click()
    expect(item).to_contain_text("the site did not take it (507)")
    ann.errors.clear()  # The browser tells of the status.


def test_an_upload_that_has_given_up_says_so(ann: WatchedPage, tmp_path: Path) -> None:
    page, file = ann.page, tmp_path / "lost.bin"
    file.write_bytes(b"lost")
    page.clock.install()
    page.route("**/files/uploads/**", lambda route: route.abort())
    page.goto("/files/")
    page.get_by_label("Upload files").set_input_files(file)
    item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    expect(item).to_contain_text("It goes on by itself")

    retry = item.get_by_role("button", name="Try again lost.bin")
    while not retry.is_visible():
        page.clock.run_for(60_000)

    expect(item).to_contain_text("Not uploaded: the connection was lost")
    expect(item).not_to_contain_text("It goes on by itself")
    ann.errors.clear()  # The browser tells of each attempt.


def test_a_link_is_shared_and_revoked(ann: WatchedPage, browser: Browser) -> None:
    page = ann.page
    page.goto("/files/")
    page.get_by_role("link", name=re.compile("^letters.zip")).click()
    page.get_by_role("link", name="Share").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make a link").click()
    field = dialog.get_by_label("Whoever has this link may download the file")
    expect(field).to_be_visible()
    url = field.input_value()

    with browser.new_context() as stranger:
        assert stranger.request.get(url).body() == b"PK" * 5000
        dialog.get_by_role("button", name="Revoke").first.click()
        expect(page.get_by_role("status").first).to_contain_text("leads nowhere")
        assert stranger.request.get(url).status == 404


def test_a_film_is_sought_in(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/?folder=films")
    page.get_by_role("link", name=re.compile("^ferry.webm")).click()
    page.locator("video").evaluate(
        """(video) => new Promise((done) => {
            if (video.readyState >= 1) done();
            else video.onloadedmetadata = () => done();
        })"""
    )
    seek = """() => new Promise((done) => {
        const video = document.querySelector("video");
        video.onseeked = () => done(video.currentTime);
        video.currentTime = 25;
    })"""

    assert page.evaluate(seek) == 25


def test_without_scripts_files_are_uploaded_renamed_and_deleted(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "plain.txt"
    file.write_text("plain")
    with browser.new_context(base_url=site.address, java_script_enabled=False) as made:
        page = made.new_page()
        page.goto("/accounts/sign-in/?next=/files/?folder=plain")
        page.get_by_label("Username").fill("ann")
        page.get_by_label("Password", exact=True).fill("of-the-tests")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Upload files").set_input_files(file)
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_role("status").first).to_contain_text("One file is uploaded")
        page.locator("summary", has_text="Actions for plain.txt").click()
        page.get_by_role("link", name="Rename or move").click()
        page.get_by_label("Name").fill("renamed.txt")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status").first).to_contain_text("is saved")
        page.get_by_role("link", name=re.compile("^renamed.txt")).click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("status").first).to_contain_text("is back")


@pytest.mark.parametrize(
    ("asked", "chosen"), [("light", "dark"), ("dark", "light")], ids=["dark", "light"]
)
def test_the_colours_that_were_chosen_stay(
    site: Site, browser_page: MakePage, asked: Theme, chosen: Theme
) -> None:
    watched = browser_page(site.address, asked, PHONE)
    page = watched.page
    background = "getComputedStyle(document.body).backgroundColor"
    page.goto("/accounts/sign-in/")
    before = page.evaluate(background)
    page.locator("summary", has_text="Menu").click()
    page.get_by_label("Colours").select_option(chosen)
    after = page.evaluate(background)
    assert after != before

    page.reload()

    assert page.evaluate("document.documentElement.dataset.theme") == chosen
    assert page.evaluate(background) == after
    page.locator("summary", has_text="Menu").click()
    expect(page.get_by_label("Colours")).to_have_value(chosen)


def test_a_session_that_has_ended_leads_to_sign_in(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/")
    page.context.clear_cookies()
    page.get_by_role("link", name="photos").click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_back_leads_to_a_list_that_works(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/")
    page.get_by_role("link", name="papers", exact=True).click()
    expect(page.get_by_role("heading", name="papers", exact=True)).to_be_visible()

    page.go_back()

    expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()
    expect(page.locator("#list")).to_have_attribute("data-folder", "")
    page.get_by_role("link", name="New folder").click()
    dialog = page.get_by_role("dialog", name="New folder")
    expect(dialog).to_be_visible()

    page.go_forward()

    expect(page.get_by_role("heading", name="papers", exact=True)).to_be_visible()
    expect(dialog).to_be_hidden()


def test_a_new_folder_is_gone_to_and_left_by_back(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/?folder=papers")
    page.get_by_role("link", name="New folder").click()
    dialog = page.get_by_role("dialog", name="New folder")
    dialog.get_by_label("Name").fill("of 2027")
    dialog.get_by_role("button", name="Go there").click()

    expect(page.get_by_role("heading", name="of 2027")).to_be_visible()
    expect(page).to_have_url(re.compile("folder=papers%2Fof\\+2027$"))
    page.go_back()

    expect(page.get_by_role("heading", name="papers", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("folder=papers$"))


def test_back_after_the_session_has_ended_leads_to_sign_in(ann: WatchedPage) -> None:
    page = ann.page
    page.goto("/files/")
    page.get_by_role("link", name="papers", exact=True).click()
    expect(page.get_by_role("heading", name="papers", exact=True)).to_be_visible()
    page.context.clear_cookies()

    page.go_back()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("banner")).to_have_count(1)
