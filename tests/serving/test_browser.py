"""What a real browser does with files that somebody uploaded."""

from __future__ import annotations

import io
import threading
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
from playwright.sync_api import Error, Page
from pytest_django.fixtures import Settings

from tests.support.browser import running_chromium

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
    settings.ROOT_URLCONF = "tests.serving.test_browser"
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    backend = "django.core.files.storage.FileSystemStorage"
    options = {"location": str(tmp_path)}
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}
    picture, sound = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    with wave.open(sound, "wb") as samples:
        samples.setparams((1, 2, 8000, 0, "NONE", ""))
        samples.writeframes(bytes(16_000))
    for name, content in {
        "a.png": picture.getvalue(),
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
    with running_chromium("--headless=new") as browser:
        yield browser.new_page()


def test_what_was_uploaded_is_shown_and_never_acts(site: str, visitor: Page) -> None:
    visitor.goto(site, wait_until="load")

    widths = visitor.evaluate("[...document.images].map(each => each.naturalWidth)")
    # A drawing, as a picture: there no script of it runs.
    assert widths[0] == 40
    assert widths[1] > 0
    visitor.wait_for_function("document.querySelector('audio').readyState >= 3")
    for name in ("a.html", "a.svg", "a.js"):
        with pytest.raises(Error, match="Download is starting"):
            visitor.goto(f"{site}/media/{name}")
    assert visitor.title() == "ours"


def test_pictures_sound_and_texts_have_pages_of_their_own(
    site: str, visitor: Page
) -> None:
    visitor.goto(f"{site}/media/a.png")
    assert visitor.evaluate("document.images[0].naturalWidth") == 40
    visitor.goto(f"{site}/media/a.wav")
    visitor.wait_for_function("document.querySelector('video').readyState >= 3")
    visitor.goto(f"{site}/media/a.txt")
    assert visitor.inner_text("body") == f"Été <script>{ACT}</script>"
