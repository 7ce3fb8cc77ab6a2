"""What a real browser does with files that somebody uploaded."""

from __future__ import annotations

import io
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from PIL import Image
from playwright.sync_api import Error, Page, sync_playwright
from pytest_django.fixtures import Settings

from tests.test_example import ARGUMENTS, CHROMIUM

SVG = "<svg xmlns='http://www.w3.org/2000/svg'><script>{}</script></svg>"
ACT = "top.document.title = 'taken'"
PAGE = """<title>ours</title><img src="/media/a.png"><img src="/media/a.svg">
<script src="/media/a.js"></script><object data="/media/a.svg"></object>
<iframe src="/media/a.html"></iframe><iframe src="/media/a.txt"></iframe>
<audio src="/media/a.wav" preload="auto"></audio>"""


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


urlpatterns = [path("", page), path("media/", include("tahoestorage.urls"))]


class Server(ThreadingMixIn, WSGIServer):
    pass


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[str]:
    settings.ROOT_URLCONF = "tests.test_serving_browser"
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    backend = "django.core.files.storage.FileSystemStorage"
    options = {"location": str(tmp_path)}
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}
    picture, document, sound = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    Image.new("RGB", (40, 30), "teal").save(document, "PDF")
    with wave.open(sound, "wb") as samples:
        samples.setparams((1, 2, 8000, 0, "NONE", ""))
        samples.writeframes(bytes(16_000))
    for name, content in {
        "a.png": picture.getvalue(),
        "a.pdf": document.getvalue(),
        "a.wav": sound.getvalue(),
        "a.txt": f"Été <script>{ACT}</script>".encode(),
        "a.html": f"<script>{ACT}</script>".encode(),
        "a.svg": SVG.format(ACT).encode(),
        "a.js": ACT.encode(),
    }.items():
        storages["default"].save(name, ContentFile(content))
    application = get_wsgi_application()
    with make_server("127.0.0.1", 0, application, Server, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def visitor() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, "--headless=new"]
        )
        yield browser.new_page()
        browser.close()


def test_what_was_uploaded_is_shown_and_never_acts(site: str, visitor: Page) -> None:
    visitor.goto(site, wait_until="load")

    widths = visitor.evaluate("[...document.images].map(each => each.naturalWidth)")
    assert widths == [40, 0]
    visitor.wait_for_function("document.querySelector('audio').readyState >= 3")
    for name in ("a.html", "a.svg", "a.js"):
        with pytest.raises(Error, match="Download is starting"):
            visitor.goto(f"{site}/media/{name}")
    assert visitor.title() == "ours"


def test_pictures_sound_texts_and_pdf_have_pages_of_their_own(
    site: str, visitor: Page
) -> None:
    visitor.goto(f"{site}/media/a.png")
    assert visitor.evaluate("document.images[0].naturalWidth") == 40
    visitor.goto(f"{site}/media/a.wav")
    visitor.wait_for_function("document.querySelector('video').readyState >= 3")
    visitor.goto(f"{site}/media/a.txt")
    assert visitor.inner_text("body") == f"Été <script>{ACT}</script>"
    visitor.goto(f"{site}/media/a.pdf")
    # The viewer has a page of its own; where it may not run that stays grey.
    deadline = time.monotonic() + 30
    while not is_teal_somewhere(visitor):
        assert time.monotonic() < deadline
        visitor.wait_for_timeout(100)


def is_teal_somewhere(visitor: Page) -> bool:
    shown = Image.open(io.BytesIO(visitor.screenshot())).convert("RGB")
    colours: Any = [colour for _, colour in shown.getcolors(1 << 24) or ()]
    # In a PDF it is a JPEG.
    return any(r < 9 and 119 < g < 137 and 119 < b < 137 for r, g, b in colours)
