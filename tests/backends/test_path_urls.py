"""URLs that are the site's own: no cap in any page, and hashed static files."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.finders import get_finder
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.core.management import call_command
from django.templatetags.static import static
from django.test import Client
from django.urls import path
from django.urls.base import get_script_prefix, set_script_prefix
from django.utils.functional import empty
from pytest_django.fixtures import Settings

from tahoestorage import env
from tahoestorage.serving import Download
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent

NAMES = [
    *("a.txt", "dir/a b.txt", "Été/第一.png", "a?b#c&d;e=f%g.txt", "a'b(c)!~*.txt"),
    *("http://a.example/b", "//a.example/b", "/a", "../a", "", "a\\b", "a\nb"),
]


class StaticFiles(ManifestFilesMixin, TahoeStorage):  # type: ignore[misc]
    """Static files with names that follow from their content."""


wrapper: Any = staticfiles_storage
urlpatterns = [
    path(
        "static/<path:name>",
        Download.as_view(storage="staticfiles", trusted=True, max_age=31_536_000),
    )
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", [None, "/static/", "https://cdn.example/m", "m/"])
def test_they_are_those_of_a_file_system_storage(
    settings: Settings, name: str, prefix: str | None
) -> None:
    settings.MEDIA_URL = "/media/"
    usual = FileSystemStorage(base_url=prefix)

    assert TahoeStorage(url_style="path", media_url=prefix).url(name) == usual.url(name)


def test_nobody_is_asked_and_neither_root_nor_address_is_needed(
    settings: Settings,
) -> None:
    settings.TAHOE_STORAGE_URL_STYLE = "path"
    settings.MEDIA_URL = "/media/"
    with requests_sent() as sent:
        assert TahoeStorage(cache=False).url("none.txt") == "/media/none.txt"
    assert sent == []


def test_a_change_of_the_settings_shows_at_once(settings: Settings) -> None:
    storage = TahoeStorage(url_style="path")
    found = []
    for url in ("/media/", "https://media.example/", "/other/"):
        settings.MEDIA_URL = url
        found.append(storage.url("a"))
    settings.TAHOE_STORAGE_MEDIA_URL = "/mine/"
    found.append(storage.url("a"))
    assert found == ["/media/a", "https://media.example/a", "/other/a", "/mine/a"]


def test_a_site_below_a_path_has_its_files_there_too(settings: Settings) -> None:
    settings.MEDIA_URL = "media/"
    before = get_script_prefix()
    set_script_prefix("/below/")
    try:
        storage = TahoeStorage(url_style="path")
        assert storage.url("a") == FileSystemStorage().url("a") == "/below/media/a"
    finally:
        set_script_prefix(before)


def test_caps_are_the_default(storage: TahoeStorage) -> None:
    name = storage.save("a.txt", ContentFile(b"x" * 100))
    assert "/named/URI%3ACHK%3A" in storage.url(name)


@pytest.mark.parametrize("value", ["caps", "paths", "", True, 1, ["path"]])
def test_another_style_is_an_error(value: Any) -> None:
    if value == "":
        assert TahoeStorage(url_style=value).options.url_style == "cap"
        return
    with pytest.raises(ImproperlyConfigured, match='expected "cap" or "path"'):
        _ = TahoeStorage(url_style=value).options


@pytest.mark.parametrize("value", ["/a b/", "/a?b", "/a#b", "/a\\b", 1, "/URI:CHK:x/"])
def test_what_no_url_begins_with_is_an_error(value: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        _ = TahoeStorage(media_url=value).options
    assert "media_url is " in str(raised.value)
    assert "URI:" not in str(raised.value)


def test_the_options_travel(make_storage: MakeStorage) -> None:
    storage = make_storage(url_style="path", media_url="/mine/")

    _, _, options = storage.deconstruct()
    travelled = [copy.copy(storage), copy.deepcopy(storage)]
    travelled.append(pickle.loads(pickle.dumps(storage)))  # noqa: S301

    assert (options["url_style"], options["media_url"]) == ("path", "/mine/")
    assert [each.url("a") for each in travelled] == ["/mine/a"] * 3


def test_the_environment_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "tahoe+http://127.0.0.1:3456/?url_style=path&media_url=/mine/"
    monkeypatch.setenv("STORAGE_URL", url)
    made: Any = env.storages()["default"]
    assert TahoeStorage(**made["OPTIONS"]).url("a") == "/mine/a"
    monkeypatch.delenv("STORAGE_URL")
    monkeypatch.setenv("TAHOE_STORAGE_BASE_URL", "http://127.0.0.1:3456")
    monkeypatch.setenv("TAHOE_STORAGE_URL_STYLE", "path")
    monkeypatch.setenv("TAHOE_STORAGE_MEDIA_URL", "/other/")
    made = env.storages()["default"]
    assert TahoeStorage(**made["OPTIONS"]).url("a") == "/other/a"


# Hashed static files


@pytest.fixture
def collected(
    settings: Settings, tahoe_grid: LocalGrid, root: Cap, tmp_path: Path
) -> Iterator[Any]:
    """A site that has collected its static files onto a grid."""
    folder = tmp_path / "static"
    for name, text in {
        "css/site.css": '@import url("base.css");\nb { color: url("../img/a b.svg") }',
        "css/base.css": "p { color: teal }",
        "img/a b.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>" * 3,
        "js/site.js": "document.title = 'Run';",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    settings.INSTALLED_APPS = ["tahoestorage", "django.contrib.staticfiles"]
    settings.STATIC_URL = "/static/"
    settings.STATICFILES_DIRS = [str(folder)]
    settings.ROOT_URLCONF = "tests.backends.test_path_urls"
    options: dict[str, Any] = {
        "base_url": tahoe_grid.base_url,
        "base_cap": root.uri,
        "cache": {"directory": str(tmp_path / "cache")},
        "url_style": "path",
        "media_url": "/static/",
    }
    settings.STORAGES = {
        "staticfiles": {
            "BACKEND": "tests.backends.test_path_urls.StaticFiles",
            "OPTIONS": options,
        }
    }
    wrapper._wrapped = storages["staticfiles"]
    get_finder.cache_clear()  # type: ignore[attr-defined]
    call_command("collectstatic", "--no-input", stdout=io.StringIO())
    # As another process, which finds the manifest on the grid.
    wrapper._wrapped = StaticFiles(**options)
    yield wrapper._wrapped
    wrapper._wrapped = empty


def fetched(url: str) -> tuple[str, Any]:
    response: Any = Client().get(url)
    assert response.status_code == 200, url
    return b"".join(response.streaming_content).decode(), response


def test_the_files_of_a_page_are_served_with_what_they_refer_to(collected: Any) -> None:
    url = static("css/site.css")
    text, response = fetched(url)
    base, picture = re.findall(r'url\("([^"]+)"\)', text)

    assert re.fullmatch(r"/static/css/site\.[0-9a-f]{12}\.css", url)
    assert response["Content-Type"] == "text/css"
    assert response["Cache-Control"] == "public, max-age=31536000"
    assert re.fullmatch(r"base\.[0-9a-f]{12}\.css", base)
    assert fetched(f"/static/css/{base}")[0] == "p { color: teal }"
    assert re.fullmatch(r"\.\./img/a b\.[0-9a-f]{12}\.svg", picture)
    drawn, response = fetched(f"/static/{picture.removeprefix('../')}")
    assert drawn.startswith("<svg")
    assert response["Content-Type"] == "image/svg+xml"
    script, response = fetched(static("js/site.js"))
    assert script == "document.title = 'Run';"
    assert response["Content-Type"] == "text/javascript"


def test_a_page_s_urls_cost_nothing(collected: Any) -> None:
    with requests_sent() as sent:
        urls = [static(name) for name in ("css/site.css", "img/a b.svg", "js/site.js")]
    assert sent == []
    assert all(url.startswith("/static/") for url in urls)
    assert "URI" not in "".join(urls)


def test_collecting_again_changes_nothing(collected: Any) -> None:
    before = static("css/site.css")
    call_command("collectstatic", "--no-input", stdout=io.StringIO())
    assert static("css/site.css") == before
    assert fetched(before)[0].startswith("@import")
