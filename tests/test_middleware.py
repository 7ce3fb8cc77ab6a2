"""What visitors see while a store is away, and what the log says."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, UnreadablePostError
from django.test import AsyncClient, Client
from django.urls import path
from pytest_django.fixtures import Settings

from tahoestorage.exceptions import NotEnoughServers
from tahoestorage.middleware import StoreErrorMiddleware
from tests.checks.test_checks import WRITE_CAP


def read(request: HttpRequest) -> FileResponse:
    return FileResponse(default_storage.open("photos/a.jpg"))


def full(request: HttpRequest) -> FileResponse:
    raise OSError(28, "No space left on device")


def hung_up(request: HttpRequest) -> FileResponse:
    raise UnreadablePostError("gone")


async def later(request: HttpRequest) -> FileResponse:
    raise NotEnoughServers("a.jpg: too few servers")


urlpatterns = [
    path("read\u2028it/", read),
    path("full/", full),
    path("gone/", hung_up),
    path("later/", later),
]


class Disks(StoreErrorMiddleware):
    errors = (OSError,)


@pytest.fixture(autouse=True)
def away(settings: Settings) -> None:
    """A site whose gateway is away."""
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["tahoestorage.middleware.StoreErrorMiddleware"]
    options = {
        "base_url": "http://127.0.0.1:9",
        "base_cap": WRITE_CAP,
        "retries": 0,
        "cache": False,
    }
    backend = "tahoestorage.storage.TahoeStorage"
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}


def test_an_outage_is_a_page_with_status_503_and_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        response = Client().get("/read\u2028it/")

    assert response.status_code == 503
    assert response["Retry-After"] == "30"
    assert response["Cache-Control"] == "no-store"
    assert "Nothing is lost" in response.content.decode()
    (record,) = caplog.records  # None of Django's own, which would be mailed.
    assert record.name == "tahoestorage.outage"
    assert record.levelname == "WARNING"
    assert "nothing responds at http://127.0.0.1:9" in record.getMessage()
    assert "GET /read\\u2028it/: 503" in record.getMessage()
    assert "URI:" not in caplog.text


def test_the_site_s_own_page_is_shown_where_it_has_one(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "503.html").write_text("away: {{ request.path }}")
    engine = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": engine, "DIRS": [tmp_path]}]

    response = Client().get("/read\u2028it/")

    assert response.content.decode() == "away: /read\u2028it/"


def test_a_view_that_is_async_gets_the_same_page() -> None:
    response: Any = asyncio.run(AsyncClient().get("/later/"))

    assert response.status_code == 503


@pytest.mark.parametrize("page", ["full", "gone"])
def test_what_is_no_store_s_error_is_left_alone(page: str) -> None:
    with pytest.raises(OSError, match=r"No space left|gone"):
        Client().get(f"/{page}/")


def test_a_subclass_may_take_a_full_disk_for_an_outage(settings: Settings) -> None:
    settings.MIDDLEWARE = [f"{__name__}.Disks"]

    assert Client().get("/full/").status_code == 503
    with pytest.raises(UnreadablePostError):
        Client().get("/gone/")


def test_a_page_that_fails_itself_is_replaced_by_the_plain_one(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "503.html").write_text("{% load static %}{% static 'a.css' %}")
    engine = "django.template.backends.django.DjangoTemplates"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.staticfiles"]
    settings.TEMPLATES = [{"BACKEND": engine, "DIRS": [tmp_path]}]
    settings.DEBUG = False
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {
            "BACKEND": "tahoestorage.staticfiles.TahoeManifestStaticStorage",
            "OPTIONS": settings.STORAGES["default"]["OPTIONS"],
        }
    }

    response = Client().get("/read\u2028it/")

    assert response.status_code == 503
    assert "Nothing is lost" in response.content.decode()
