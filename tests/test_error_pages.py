"""Django's error pages show settings and variables, and must not show caps."""

from __future__ import annotations

import inspect
import pprint
import re
import sys
from collections import OrderedDict

import pytest
from django.core.files.base import ContentFile
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject
from django.views.debug import (
    ExceptionReporter,
    get_default_exception_reporter_filter,
)
from pytest_django.fixtures import Settings

from tahoestorage.config.settings import filter_error_pages, hide_secrets
from tahoestorage.errorpages import HideSecretsFilter, _shown
from tahoestorage.redaction import Secret, SecretBytes
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
    hide_secrets()
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
    hide_secrets()
    shown = pprint.pformat([settings.TAHOE_STORAGE_BASE_CAP, settings.STORAGES])
    assert root.uri not in shown
    assert root.uri == settings.TAHOE_STORAGE_BASE_CAP


def test_a_storage_shows_no_cap(storage: TahoeStorage, root: Cap) -> None:
    storage.exists("anything")
    for text in (repr(storage), pprint.pformat(vars(storage)), str(vars(storage))):
        for secret in secrets_of(root, root.read_only):
            assert secret not in text


# The filter


def test_the_site_has_our_filter_where_it_named_none() -> None:
    assert isinstance(get_default_exception_reporter_filter(), HideSecretsFilter)


def test_a_filter_of_the_site_s_own_stays(settings: Settings) -> None:
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = "site.reports.Filter"
    filter_error_pages()
    assert settings.DEFAULT_EXCEPTION_REPORTER_FILTER == "site.reports.Filter"


def test_settings_that_nobody_marked_show_no_secret(
    settings: Settings, root: Cap
) -> None:
    settings.TAHOE_STORAGE_BASE_CAP = root.uri[:-5]
    settings.TAHOE_STORAGE_BASE_CAP_FILE = "/srv/root.cap"
    settings.BROKERS = ["redis://:password@cache.example/0", ("a word", b"URI:LIT:me")]
    settings.SECOND = {"place": root.uri, "landscape": "wide"}
    shown = HideSecretsFilter().get_safe_settings()
    assert shown["TAHOE_STORAGE_BASE_CAP"] == "*" * 20
    assert shown["TAHOE_STORAGE_BASE_CAP_FILE"] == "/srv/root.cap"
    assert shown["BROKERS"] == [
        "redis://***@cache.example/0",
        ("a word", "<10 bytes>"),
    ]
    assert shown["SECOND"] == {"place": "URI:***", "landscape": "wide"}


def test_the_environment_that_a_request_has_shows_no_cap(root: Cap) -> None:
    request = RequestFactory(TAHOE_STORAGE_BASE_CAP=root.uri, LINK=root.uri).get("/")
    shown = HideSecretsFilter().get_safe_request_meta(request)
    assert (shown["TAHOE_STORAGE_BASE_CAP"], shown["LINK"]) == ("*" * 20, "URI:***")


def shown_in_a_frame(**variables: object) -> dict[str, object]:
    """What is shown of the variables of the site's own code."""
    frame = inspect.currentframe()
    assert frame is not None
    shown = HideSecretsFilter().get_traceback_frame_variables(None, frame)
    found: dict[str, object] = dict(shown)["variables"]
    return found


def test_variables_of_a_site_s_own_code_show_no_cap(root: Cap) -> None:
    circle: list[object] = [root.uri]
    circle.append(circle)
    marked = [Secret("wJalrXUtnFEMI"), SecretBytes(b"key")]
    shown = shown_in_a_frame(
        plain=root.uri, nested=({"roots": [{root.uri}, *marked]},), circle=circle
    )
    assert shown["plain"] == "URI:***"
    assert shown["nested"] == ({"roots": [{"URI:***"}, "***", "<3 bytes>"]},)
    assert isinstance(shown["circle"], list)
    assert shown["circle"][0] == "URI:***"


def test_what_is_no_secret_is_shown_as_it_is() -> None:
    lazy = SimpleLazyObject(lambda: 1 / 0)
    shown = shown_in_a_frame(key="a", data=b"bytes", lazy=lazy)
    assert (shown["key"], shown["data"]) == ("a", b"bytes")
    assert shown["lazy"] is lazy


def test_options_of_another_kind_of_mapping_are_kept(settings: Settings) -> None:
    options = OrderedDict(location="/srv/private", base_url="redis://:secret@host")
    entry = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = {
        **settings.STORAGES,
        "one": {**entry, "OPTIONS": options},
        "other": {**entry, "OPTIONS": options},
    }
    hide_secrets()
    assert options == {"location": "/srv/private", "base_url": "redis://:secret@host"}
    assert settings.STORAGES["one"]["OPTIONS"] is options
    assert "secret" not in repr(options)


def test_lists_that_hold_each_other_are_looked_at_only_so_often(root: Cap) -> None:
    # All ways through them would be 10 ** 9.
    lists: list[list[object]] = [[root.uri] for _ in range(32)]
    for each in lists:
        each.extend(lists)
    shown = pprint.pformat(_shown(lists))
    assert "URI:***" in shown
    assert "…" in shown
    assert not any(secret in shown for secret in secrets_of(root))
