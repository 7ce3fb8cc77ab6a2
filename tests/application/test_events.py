"""The events as their visitors meet them: over HTTP, and in a browser."""

from __future__ import annotations

import io
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    expect,
)

from tahoestorage.serving.mediatypes import POLICY
from tahoestorage.testing.grid import LocalGrid
from tests.application.site import (
    EVENT,
    EVENTS,
    EXAMPLE,
    PASSWORD,
    PHOTO_FORM,
    ROOT,
    SLIDES_FORM,
    Environment,
    Site,
    bare_environment,
    grid_environment,
    image,
    lose,
    make_tables,
    make_thumbnails,
    manage,
    served,
    without_gateway,
)


@pytest.fixture(scope="module")
def environment(
    tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    return grid_environment(tahoe_grid, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def site(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(environment, tmp_path_factory.mktemp("log") / "site.log") as site:
        yield site


@pytest.fixture(scope="module")
def storeless(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The same site while its gateway is away, with nothing in its cache."""
    directory = tmp_path_factory.mktemp("storeless")
    cache = {"TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache")}
    with served(without_gateway(environment) | cache, directory / "log") as site:
        yield site


def test_the_list_leads_to_the_event(site: Site) -> None:
    page = site.get(EVENTS).text

    assert f'<a href="{EVENT}">Open Storage Day</a>' in page


def test_an_event_shows_small_photos_and_leads_to_the_whole_ones(
    site: Site, environment: Environment
) -> None:
    make_thumbnails(environment, site)
    page = site.get(EVENT).text
    photos = re.findall(r'<a class="photo" href="([^"]+)"><img src="([^"]+)"', page)

    assert len(photos) >= 3
    for whole, small in photos:
        for path, format, size in (
            (whole, "JPEG", (600, 600)),
            (small, "WEBP", (384, 384)),
        ):
            response = site.get(path)
            assert response.headers["Content-Type"] == f"image/{format.lower()}"
            assert response.headers["Cache-Control"] == "private, max-age=300"
            picture = Image.open(io.BytesIO(response.content))
            assert (picture.format, picture.size) == (format, size)


def test_an_event_shows_its_slides_with_their_sizes(site: Site) -> None:
    page = site.get(EVENT).text
    slides = re.search(
        r'<a href="([^"]+)" download>files-that-nobody-else-can-read.pdf</a>\s*'
        r'<span class="quiet">[\d.]+\xa0KB</span>',
        page,
    )
    assert slides
    assert site.get(slides[1]).content.startswith(b"%PDF")


@pytest.mark.parametrize("size", [20, 3_500_000])
def test_what_was_uploaded_comes_back_byte_for_byte(site: Site, size: int) -> None:
    content, title = os.urandom(size), f"Talk of {size}"

    response = site.add_slides(title, "talk.pdf", content)

    assert response.status_code == 302
    download = site.get(site.link(title))
    assert download.content == content
    assert download.headers["Content-Length"] == str(size)


def test_two_uploads_of_one_name_both_survive(site: Site) -> None:
    site.add_slides("The first", "same.bin", b"one" * 100)
    site.add_slides("The second", "same.bin", b"two" * 100)

    first, second = site.get(site.link("The first")), site.get(site.link("The second"))

    assert (first.content, second.content) == (b"one" * 100, b"two" * 100)
    assert 'filename="same.bin"' in first.headers["Content-Disposition"]


def test_a_name_in_any_script_is_kept(site: Site) -> None:
    site.add_slides("Names", "Übersicht 第一.pdf", b"%PDF" * 20)

    response = site.get(site.link("Names"))

    sent = response.headers["Content-Disposition"]
    assert sent.endswith("utf-8''%C3%9Cbersicht%20%E7%AC%AC%E4%B8%80.pdf")


def test_a_download_is_nothing_that_a_browser_runs(site: Site) -> None:
    site.add_slides("Page", "page.html", b"<script>alert(1)</script>" * 9)

    headers = site.get(site.link("Page")).headers

    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == POLICY


def test_only_plain_images_are_shown_in_a_page(site: Site) -> None:
    site.sign_in()
    # By its name it is of another type.
    for name in ("a.png", "b.tiff"):
        photo = ("photo", name, image("PNG"))
        response = site.post(PHOTO_FORM, {"name": name}, file=photo)
        assert response.status_code == 302
    page = site.get(EVENT).text

    photos = re.findall(r'href="([^"]+)"><img [^>]+ alt="Photo of ([ab]\.\w+)', page)
    shown = {
        name: site.get(url).headers["Content-Disposition"].partition(";")[0]
        for url, name in photos
    }

    assert shown == {"a.png": "inline", "b.tiff": "attachment"}


def test_a_photo_that_is_none_is_refused(site: Site) -> None:
    site.sign_in()
    photo = ("photo", "me.jpg", b"This is no image at all.")

    response = site.post(PHOTO_FORM, {"name": "Nobody"}, file=photo)

    assert response.status_code == 422
    assert "The file is no JPEG, PNG, GIF or WebP" in response.text
    assert "Nobody" not in site.get(EVENT).text


def test_a_form_without_its_token_is_refused(site: Site) -> None:
    site.sign_in()
    response = site.visitor.post(
        site.address + SLIDES_FORM,
        {"title": "Forged"},
        files={"slides": ("forged.pdf", b"%PDF")},
        timeout=60,
    )

    assert response.status_code == 403
    assert "Please try again" in response.text
    assert "Forged" not in site.get(EVENT).text


def test_a_script_is_told_where_the_new_session_is(site: Site) -> None:
    site.sign_in()
    response = site.post(
        SLIDES_FORM,
        {"title": "By script"},
        file=("slides", "script.bin", b"x" * 100),
        headers={"X-Requested-With": "XMLHttpRequest"},
    )

    assert response.status_code == 201
    assert re.fullmatch(rf"{EVENT}#session-\d+", response.headers["Location"])


def test_the_size_is_limited_by_the_setting_alone(
    environment: Environment, tmp_path: Path
) -> None:
    limited = environment | {"UPLOAD_LIMIT": "1000"}
    with served(limited, tmp_path / "site.log") as site:
        too_large = site.add_slides("Too large", "large.bin", b"x" * 1001)
        just_so = site.add_slides("Just so", "just.bin", b"x" * 1000)

    assert too_large.status_code == 422
    assert "at most 1000\xa0bytes are taken" in too_large.text
    assert just_so.status_code == 302


def test_a_file_that_is_gone_from_the_store_is_a_404(
    site: Site, environment: Environment
) -> None:
    site.add_slides("Gone", "gone.bin", b"x" * 100)
    link = site.link("Gone")
    lose(environment, "gone.bin")

    response = site.get(link)

    assert response.status_code == 404
    assert "There is no such page or file" in response.text
    assert site.get(EVENT).status_code == 200


@pytest.mark.parametrize("path", ["/nowhere/", "/events/none/", "/sessions/0/slides/"])
def test_what_never_was_is_a_404(site: Site, path: str) -> None:
    response = site.get(path)

    assert response.status_code == 404
    assert "There is no such page or file" in response.text


def test_a_store_that_is_away_is_a_plain_503(storeless: Site) -> None:
    link = storeless.link("Files that nobody else can read")
    download = storeless.get(link)
    upload = storeless.add_slides("Never stored", "never.bin", b"x" * 100)

    for response in (download, upload):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "30"
        assert "The files are away just now" in response.text
    page = storeless.get(EVENT)
    assert page.status_code == 200
    assert "Open Storage Day" in page.text
    assert "Never stored" not in page.text
    assert "the file store failed" in storeless.log.read_text()


def test_an_outage_is_noticed_before_a_download_begins(
    site: Site, environment: Environment, tmp_path: Path
) -> None:
    site.add_slides("Known", "known.bin", b"x" * 100)
    site.get(EVENT)
    # It is in the cache, so that opening it asks nobody. Reading it does.
    with served(without_gateway(environment), tmp_path / "log") as away:
        response = away.get(away.link("Known"))

    assert response.status_code == 503
    assert "The files are away just now" in response.text


def test_the_admin_links_files_to_the_sites_own_downloads(site: Site) -> None:
    site.visitor.cookies.clear()
    login = "/admin/login/"
    response = site.post(login, {"username": "demo", "password": PASSWORD})
    assert response.status_code == 302

    session = site.get("/admin/events/session/1/change/")
    speaker = site.get("/admin/events/speaker/1/change/")
    site.visitor.cookies.clear()

    assert '<a href="/sessions/1/slides/">' in session.text
    assert '<a href="/speakers/1/photo/">' in speaker.text


def test_no_page_and_no_log_holds_a_cap(site: Site, storeless: Site) -> None:
    for one in (site, storeless):
        one.sign_in()
        pages = [one.get(path).text for path in ("/", EVENT, SLIDES_FORM)]
        for text in (*pages, one.log.read_text()):
            assert not re.search("URI(:|%3A)(?!\\*)", text)


def test_with_a_public_gateway_slides_have_a_second_link(
    environment: Environment, tmp_path: Path
) -> None:
    gateway = environment["TAHOE_STORAGE_BASE_URL"]
    public = environment | {"TAHOE_PUBLIC_BASE_URL": gateway}
    with served(public, tmp_path / "site.log") as site:
        page = site.get(EVENT).text
        slides = site.get(site.link("Questions, answers and cake")).content

    of_session = page.partition("questions-answers-and-cake.pdf</a>")[2]
    url = re.search(rf'"({gateway}/named/[^"]+)"', of_session)
    assert url
    assert requests.get(url[1], timeout=60).content == slides


def test_without_a_gateway_the_files_are_in_a_folder(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    make_tables(environment)
    manage(environment, "demo_data")

    files = [one for one in (tmp_path / "media").rglob("*") if one.is_file()]
    assert len(files) == 6
    assert sum(one.read_bytes().startswith(b"%PDF") for one in files) == 3


def test_the_demonstration_data_is_made_once(environment: Environment) -> None:
    said = manage(environment, "demo_data", "--superuser=demo")

    assert "nothing was changed" in said


def test_the_migrations_are_complete(environment: Environment) -> None:
    manage(environment, "makemigrations", "--check", "--dry-run")


def test_without_a_secret_key_nothing_starts(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    del environment["SECRET_KEY"]
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "Set SECRET_KEY, or DEBUG=1 for development." in done.stderr


def test_an_error_page_shows_no_cap(tmp_path: Path) -> None:
    cap = "URI:DIR2:aaaaaaaaaaaaaaaaaaaaaaaaaa:" + "a" * 52
    environment = bare_environment(tmp_path) | {"TAHOE_STORAGE_BASE_CAP": cap}
    code = (
        "from django.views.debug import get_default_exception_reporter_filter as get;"
        "print(get().get_safe_settings())"
    )

    shown = manage(environment, "shell", "--no-imports", "-c", code)

    assert "TAHOE_STORAGE_BASE_CAP" in shown
    assert cap not in shown


# In a browser.


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with browser.new_context(base_url=site.address) as context:
        sign_in(context, site)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
        assert problems == []


def sign_in(context: BrowserContext, site: Site) -> None:
    context.add_cookies(
        [{"name": "sessionid", "value": site.sign_in(), "url": site.address}]
    )


def slow_down(page: Page, bytes_per_second: int) -> None:
    """Make sending as slow as a visitor's line may be."""
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": bytes_per_second,
        },
    )


def away(route: Route) -> None:
    """Answer as a site whose store is away."""
    route.fulfill(status=503)


def fill(page: Page, title: str, file: Path) -> None:
    page.goto(SLIDES_FORM)
    page.get_by_label("Title").fill(title)
    page.get_by_label("Slides").set_input_files(file)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    file = tmp_path / f"slides-{secrets.token_hex(4)}.bin"
    file.write_bytes(os.urandom(4_000_000))
    return file


def row(page: Page) -> Locator:
    """The row of the file that is sent."""
    return page.get_by_role("region", name="Uploads").get_by_role("listitem")


def test_an_upload_shows_its_progress_and_comes_back(page: Page, slides: Path) -> None:
    fill(page, "With a bar", slides)
    slow_down(page, 1_000_000)
    # Every value that the bar has, from before it moves.
    page.evaluate(
        """() => {
            window.name = "";
            new MutationObserver(() => {
                const bar = document.querySelector("progress");
                if (bar) window.name += `${bar.getAttribute("value")} `;
            }).observe(document.querySelector("form.upload"),
                {attributes: true, childList: true, subtree: true});
        }"""
    )

    page.get_by_role("button", name="Save").click()
    expect(row(page).get_by_role("progressbar")).to_be_visible()
    expect(row(page)).to_contain_text("of 3.8 MB")
    page.wait_for_url(re.compile(rf"{EVENT}#session-\d+$"))

    values = [float(value) for value in page.evaluate("window.name").split()]
    assert values == sorted(values)
    assert len(set(values)) > 3
    added = page.locator("li:target")
    expect(added).to_contain_text("With a bar")
    with page.expect_download() as download:
        added.get_by_role("link", name=slides.name).click()
    assert download.value.suggested_filename == slides.name
    assert Path(download.value.path()).read_bytes() == slides.read_bytes()


def test_a_file_is_paused_stopped_and_sent_again_to_what_is_saved(
    page: Page, slides: Path
) -> None:
    fill(page, "Stopped", slides)
    # Nothing gets through until the route is gone.
    page.route("**/api/v1/uploads/**", lambda route: None)
    save = page.get_by_role("button", name="Save")
    with page.expect_request("**/api/v1/uploads/**"):  # The upload has begun.
        save.click()
    pause = page.get_by_role("button", name=f"Pause {slides.name}")
    expect(pause).to_be_focused()

    pause.click()
    expect(row(page)).to_contain_text("Paused at")
    expect(save).to_be_disabled()
    page.unroute("**/api/v1/uploads/**")
    page.get_by_role("button", name=f"Stop {slides.name}").click()

    expect(page.locator("[data-status]")).to_contain_text("without the file")
    save.click()
    page.wait_for_url(re.compile(rf"{EVENT}#session-\d+$"))
    expect(page.get_by_role("heading", name="Stopped")).to_have_count(1)
    expect(page.locator("li:target")).to_contain_text(slides.name)


def test_a_file_goes_on_where_it_was_when_the_page_was_left(
    page: Page, slides: Path
) -> None:
    begun: list[str] = []
    page.on(
        "request",
        lambda one: begun.append(one.url) if one.url.endswith("/upload/") else None,
    )
    page.on("dialog", lambda dialog: dialog.accept())
    fill(page, "Interrupted", slides)
    page.route("**/api/v1/uploads/**", lambda route: None)
    # By then the browser keeps where the upload is.
    with page.expect_request("**/api/v1/uploads/**"):
        page.get_by_role("button", name="Save").click()

    page.reload()

    page.unroute("**/api/v1/uploads/**")
    expect(page.get_by_text("Choose it again and save")).to_contain_text(slides.name)
    page.get_by_label("Slides").set_input_files(slides)
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile(rf"{EVENT}#session-\d+$"))
    expect(page.locator("li:target")).to_contain_text(slides.name)
    assert len(begun) == 1


def test_an_upload_whose_beginning_was_not_answered_is_begun_once(
    page: Page, slides: Path
) -> None:
    begun: list[str] = []

    def begin(route: Route) -> None:
        response = route.fetch()
        begun.append(response.headers["location"])
        if len(begun) == 1:
            route.abort()
        else:
            route.fulfill(response=response)

    page.route("**/upload/", begin)
    fill(page, "Begun once", slides)
    page.get_by_role("button", name="Save").click()

    page.wait_for_url(re.compile(rf"{EVENT}#session-\d+$"))
    assert len(begun) == 2
    assert len(set(begun)) == 1


def test_an_upload_that_is_gone_is_begun_anew(page: Page, slides: Path) -> None:
    begun: list[str] = []

    def begin(route: Route) -> None:
        response = route.fetch()
        begun.append(response.headers["location"])
        route.fulfill(response=response)

    def lose(route: Route) -> None:
        if len(begun) > 1:
            route.continue_()
        else:
            route.fulfill(status=410 if route.request.method == "HEAD" else 503)

    page.route("**/upload/", begin)
    page.route("**/api/v1/uploads/**", lose)
    fill(page, "Begun anew", slides)
    page.get_by_role("button", name="Save").click()

    page.wait_for_url(re.compile(rf"{EVENT}#session-\d+$"))
    assert len(set(begun)) == 2


def test_who_stops_a_file_saves_soon_while_the_site_is_away(
    page: Page, slides: Path
) -> None:
    page.route("**/api/v1/uploads/**", away)
    fill(page, "Stopped while away", slides)
    with page.expect_request("**/api/v1/uploads/**"):
        page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name=f"Pause {slides.name}").click()
    expect(row(page)).to_contain_text("Paused at")
    # From here on no timer takes any time; what they would take is added up.
    page.evaluate(
        """() => {
            const later = window.setTimeout;
            window.waited = 0;
            window.setTimeout = (act, delay = 0) => {
                window.waited += delay;
                return later(act, 0);
            };
        }"""
    )

    page.get_by_role("button", name=f"Stop {slides.name}").click()

    expect(page.locator("[data-status]")).to_contain_text("without the file")
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    assert page.evaluate("window.waited") <= 10_000  # milliseconds


def test_what_is_wrong_is_said_at_its_field(page: Page, slides: Path) -> None:
    page.goto(PHOTO_FORM)
    page.get_by_label("Name").fill("Somebody")
    photo = page.get_by_label("Photo")
    photo.set_input_files(slides)
    page.get_by_role("button", name="Save").click()

    expect(photo).to_have_attribute("aria-invalid", "true")
    expect(photo).to_have_accessible_description(re.compile("no JPEG|extension"))
    expect(photo).to_be_focused()
    # By its name it is a picture.
    photo.set_input_files(
        {"name": "me.png", "mimeType": "image/png", "buffer": b"none"}
    )
    page.get_by_role("button", name="Save").click()
    expect(row(page)).to_contain_text("The file is no JPEG, PNG, GIF or WebP")
    photo.set_input_files(
        {"name": "me.png", "mimeType": "image/png", "buffer": image("PNG")}
    )
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile(rf"{EVENT}#speaker-\d+$"))


def test_a_file_waits_for_a_store_that_is_away(
    browser: Browser, storeless: Site, slides: Path
) -> None:
    with browser.new_context(base_url=storeless.address) as context:
        sign_in(context, storeless)
        page = context.new_page()
        fill(page, "Kept", slides)
        page.get_by_role("button", name="Save").click()

        expect(row(page)).to_contain_text("It goes on by itself")
        row(page).get_by_role("button", name="Stop").click()
        expect(page.get_by_label("Title")).to_have_value("Kept")
        expect(page.get_by_role("button", name="Save")).to_be_enabled()


def test_without_scripts_an_upload_works_too(
    browser: Browser, site: Site, slides: Path
) -> None:
    with browser.new_context(
        base_url=site.address, java_script_enabled=False
    ) as context:
        sign_in(context, site)
        page = context.new_page()
        fill(page, "Without scripts", slides)
        page.get_by_role("button", name="Save").click()

        expect(page.get_by_role("link", name=slides.name)).to_be_visible()


@pytest.mark.parametrize("path", [EVENTS, EVENT, SLIDES_FORM, PHOTO_FORM, "/nowhere/"])
def test_every_page_fits_a_phone(browser: Browser, site: Site, path: str) -> None:
    with browser.new_context(
        base_url=site.address,
        viewport={"width": 320, "height": 640},
        is_mobile=True,
        has_touch=True,
    ) as context:
        sign_in(context, site)
        page = context.new_page()
        page.goto(path)

        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        small = page.evaluate(
            """() => [...document.querySelectorAll(".button, input[type=file]")]
                .filter((one) => one.checkVisibility())
                .filter((one) => one.offsetHeight < (one.matches(".small") ? 32 : 38))
                .map((one) => one.outerHTML)"""
        )
        assert small == []


def test_an_event_in_a_browser_has_its_photos(
    browser: Browser, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    environment = grid_environment(tahoe_grid, tmp_path)
    with (
        served(environment, tmp_path / "log") as site,
        browser.new_context(
            base_url=site.address, viewport={"width": 900, "height": 700}
        ) as context,
    ):
        make_thumbnails(environment, site)
        page = context.new_page()
        page.goto(EVENT)
        photos = page.get_by_role("img")
        expect(photos).to_have_count(3)
        for photo in photos.all():
            photo.scroll_into_view_if_needed()
            expect(photo).to_have_js_property("naturalWidth", 384)
        # The picture in the documentation is of this: EXAMPLE_PICTURE=1 renews it.
        if os.environ.get("EXAMPLE_PICTURE"):
            page.screenshot(path=ROOT / "docs/example-event.png", full_page=True)
