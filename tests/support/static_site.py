"""A site with static files of its own, which ``collectstatic`` sends to a store."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import get_finder
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils.functional import empty
from pytest_django.fixtures import Settings

wrapper: Any = staticfiles_storage


class Site:
    """A site with a folder of static files, which collects them into a store."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self._settings = settings
        folder.mkdir()
        settings.INSTALLED_APPS = ["tahoestorage", "django.contrib.staticfiles"]
        settings.STATIC_URL = "/static/"
        settings.STATICFILES_DIRS = [str(folder)]
        self.storage: Any = None

    def on(self, backend: str, **options: Any) -> None:
        self._settings.STORAGES = {
            "staticfiles": {"BACKEND": backend, "OPTIONS": options}
        }
        self.storage = wrapper._wrapped = storages["staticfiles"]
        get_finder.cache_clear()  # type: ignore[attr-defined]

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def collect(self, *options: str) -> str:
        said = io.StringIO()
        call_command("collectstatic", "--no-input", *options, stdout=said)
        return said.getvalue()


@contextlib.contextmanager
def static_site(settings: Settings, folder: Path) -> Iterator[Site]:
    """Make a site in a folder; Django's storage for static files is the usual again."""
    try:
        yield Site(settings, folder)
    finally:
        wrapper._wrapped = empty
