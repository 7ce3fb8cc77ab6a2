"""Django's error pages show settings and variables, and must not show caps."""

from __future__ import annotations

import pprint
import re
import sys

import pytest
from django.core.files.base import ContentFile
from django.views.debug import ExceptionReporter
from pytest_django.fixtures import Settings

from tahoestorage.config.settings import hide_root_caps
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap

pytestmark = pytest.mark.django_db


def secrets_of(*caps: Cap) -> list[str]:
    """The parts of caps that nobody may see."""
    parts = [part for cap in caps for part in cap.uri.split(":")]
    return [part for part in parts if len(part) >= 20]


def error_page() -> str:
    """Django's page for the exception that is being handled."""
    reporter = ExceptionReporter(None, *sys.exc_info())
    return reporter.get_traceback_html() + reporter.get_traceback_text()


@pytest.mark.parametrize(
    "fail",
    [
        lambda storage: storage.open("missing.txt"),
        lambda storage: storage.delete("kept"),
        lambda storage: storage.save("kept/file.txt/below", ContentFile(b"x" * 100)),
        lambda storage: storage.open("kept/file.txt", "xb"),
    ],
)
def test_a_failure_shows_no_cap_on_the_error_page(
    settings: Settings, storage: TahoeStorage, root: Cap, fail: object
) -> None:
    settings.DEBUG = True
    settings.TAHOE_STORAGE_BASE_CAP = root.uri
    hide_root_caps()
    storage.save("kept/file.txt", ContentFile(b"kept" * 100))
    assert callable(fail)
    try:
        fail(storage)
    except OSError:
        page = error_page()
    assert "tahoestorage" in page
    for secret in secrets_of(root, root.read_only):
        assert secret not in page
    assert not re.search(r"URI(:|%3A)(CHK|DIR2|SSK|MDMF)", page)


def test_an_unreachable_gateway_shows_no_cap_on_the_error_page(
    settings: Settings, root: Cap
) -> None:
    settings.DEBUG = True
    gone = TahoeStorage(
        base_url="http://127.0.0.1:9", base_cap=root.uri, cache=False, retries=0
    )
    try:
        gone.save("photo.jpg", ContentFile(b"x" * 1000))
    except OSError:
        page = error_page()
    for secret in secrets_of(root, root.read_only):
        assert secret not in page


def test_root_caps_in_settings_are_hidden(settings: Settings, root: Cap) -> None:
    settings.TAHOE_STORAGE_BASE_CAP = root.uri
    settings.STORAGES = {
        **settings.STORAGES,
        "grid": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {"base_cap": root.uri},
        },
    }
    hide_root_caps()
    shown = pprint.pformat([settings.TAHOE_STORAGE_BASE_CAP, settings.STORAGES])
    assert root.uri not in shown
    assert root.uri == settings.TAHOE_STORAGE_BASE_CAP


def test_a_storage_shows_no_cap(storage: TahoeStorage, root: Cap) -> None:
    storage.exists("anything")
    for text in (repr(storage), pprint.pformat(vars(storage)), str(vars(storage))):
        for secret in secrets_of(root, root.read_only):
            assert secret not in text
