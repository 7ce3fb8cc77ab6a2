"""A browser at the read-only proxy, and at the example in front of it."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.files.base import ContentFile
from playwright.sync_api import Browser, Page, Request, expect

from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.application.site import (
    EVENT,
    Environment,
    Site,
    grid_environment,
    make_thumbnails,
    served,
)
from tests.support.nginx_server import RunningProxy, public_proxy
from tests.support.proxy import Proxy
from tests.support.webm import SIZE, video

# It tells in the page's title, in a cookie and to its opener that it ran.
SCRIPT = "document.title = 'ran'; document.cookie = 'ran=1'; fetch('/ran')"
HTML = f"<title>quiet</title><script>{SCRIPT}</script><body onload='{SCRIPT}'>"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20" onload="{0}">'
    '<script>{0}</script><rect width="30" height="20"/></svg>'
).format(SCRIPT.replace("'", "&#39;"))


@pytest.fixture(scope="module")
def gateway(tahoe_grid: LocalGrid) -> Iterator[Proxy]:
    with Proxy(tahoe_grid.base_url) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def proxy(
    gateway: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    with public_proxy(tmp_path_factory.mktemp("nginx"), gateway.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def environment(
    tahoe_grid: LocalGrid, proxy: RunningProxy, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    made = grid_environment(tahoe_grid, tmp_path_factory.mktemp("site"))
    return made | {"TAHOE_PUBLIC_BASE_URL": proxy.url}


@pytest.fixture(scope="module")
def site(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(environment, tmp_path_factory.mktemp("log") / "site.log") as site:
        yield site


@pytest.fixture(scope="module")
def files(environment: Environment) -> TahoeStorage:
    """The storage of the site, seen from here."""
    return TahoeStorage(
        base_url=environment["TAHOE_STORAGE_BASE_URL"],
        base_cap_file=environment["TAHOE_STORAGE_BASE_CAP_FILE"],
        public_base_url=environment["TAHOE_PUBLIC_BASE_URL"],
        cache=False,
    )


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with browser.new_context(base_url=site.address) as context:
        yield context.new_page()


def save(files: TahoeStorage, name: str, content: bytes) -> str:
    return files.url(files.save(name, ContentFile(content)))


def test_the_example_s_page_takes_its_photos_from_the_proxy(
    page: Page, proxy: RunningProxy, site: Site, environment: Environment
) -> None:
    make_thumbnails(environment, site)
    page.goto(EVENT)
    photos = page.get_by_role("img")
    expect(photos).to_have_count(3)
    for photo in photos.all():
        photo.scroll_into_view_if_needed()
        expect(photo).to_have_js_property("naturalWidth", 384)
        expect(photo).to_have_attribute("src", re.compile(f"^{proxy.url}/named/URI"))


def test_in_a_video_a_visitor_seeks(
    page: Page, files: TahoeStorage, gateway: Proxy
) -> None:
    film = video(300)
    url = save(files, "film.webm", film)
    gateway.seen.clear()
    page.set_content(f"<video muted preload=metadata src='{url}'></video>")
    page.wait_for_function("document.querySelector('video').readyState >= 1")
    assert page.evaluate("document.querySelector('video').duration") == 300
    page.evaluate(
        """() => new Promise((done) => {
            const video = document.querySelector("video");
            video.onseeked = done;
            video.currentTime = 290;
        })"""
    )

    assert page.evaluate("document.querySelector('video').currentTime") == 290
    assert page.evaluate("document.querySelector('video').videoWidth") == SIZE[0]
    starts = [
        int(re.findall(r"\d+", seen.headers["range"])[0]) for seen in gateway.seen
    ]
    assert len(starts) == len(set(starts))
    # It went there at once, and did not fetch what is between.
    assert max(starts) > 2 * len(film) // 3
    assert len(starts) < len(film) // 2**20


@pytest.mark.parametrize("name", ["film.webm", "picture.png", "words.txt"])
def test_what_runs_nothing_is_shown(
    page: Page, files: TahoeStorage, site: Site, name: str
) -> None:
    content = {
        "film.webm": video(3),
        "picture.png": base64.b64decode(PNG),
        "words.txt": b"plain words, <b>and no more</b> " * 9,
    }[name]
    page.goto(save(files, name, content))
    if name == "film.webm":
        page.wait_for_function("document.querySelector('video').readyState >= 1")
    elif name == "picture.png":
        page.wait_for_function("document.querySelector('img').naturalWidth == 1")
    else:
        expect(page.get_by_text("<b>and no more</b>")).to_be_visible()


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    "name", ["Übersicht “第一” 🎞.zip", "a+b & c;d=e, 100% (1).html", "x'y\"z.svg"]
)
def test_a_download_has_the_name_of_the_file(
    page: Page, files: TahoeStorage, name: str
) -> None:
    content = os.urandom(3000)
    url = save(files, name, content)
    page.set_content(f'<a href="{url}">get it</a>')
    with page.expect_download() as download:
        page.get_by_role("link").click()
    # What a file system can't take, a browser replaces.
    assert download.value.suggested_filename == re.sub('["]', "_", name)
    assert Path(download.value.path()).read_bytes() == content


@pytest.mark.parametrize(("name", "content"), [("a.html", HTML), ("a.svg", SVG)])
def test_an_uploaded_script_runs_nowhere(
    page: Page, files: TahoeStorage, site: Site, name: str, content: str
) -> None:
    title = f"Uploaded {name}"
    site.add_slides(title, name, content.encode())
    through_site = site.address + site.link(title)
    public = save(files, name, content.encode())
    page.goto(EVENT)
    here = page.title()
    for url in (through_site, public):
        # Opened, it is a download; nothing is shown.
        with page.expect_download() as download:
            page.evaluate("url => { window.open(url) }", url)
        assert download.value.suggested_filename.startswith("a")
        # Within a page, it is in nobody's origin.
        asked: list[str] = []
        page.on("request", collector(asked))
        page.evaluate(
            """url => new Promise((done) => {
                for (const kind of ["iframe", "object", "embed", "img"]) {
                    const one = document.createElement(kind);
                    one[kind === "object" ? "data" : "src"] = url;
                    document.body.append(one);
                }
                setTimeout(done, 500);
            })""",
            url,
        )
        assert [one for one in asked if one.endswith("/ran")] == []
        assert page.title() == here
        assert "ran" not in page.evaluate("document.cookie")


def collector(asked: list[str]) -> Callable[[Request], None]:
    return lambda request: asked.append(request.url)


def test_a_drawing_is_shown_within_a_page(page: Page, files: TahoeStorage) -> None:
    url = save(files, "drawing.svg", SVG.encode())
    page.set_content(f"<img src='{url}'>")
    page.wait_for_function("document.querySelector('img').naturalWidth == 30")


def test_a_link_from_a_file_tells_nobody_its_cap(
    page: Page, files: TahoeStorage, proxy: RunningProxy
) -> None:
    url = save(files, "words.txt", b"words " * 20)
    page.goto(url)
    with page.expect_request("**/elsewhere") as asked:
        page.evaluate("() => { location.href = '/elsewhere' }")
    assert "referer" not in asked.value.headers
    assert quote("URI:", safe="") in url
