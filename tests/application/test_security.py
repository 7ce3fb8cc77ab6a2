"""The settings of a site on the internet: safe as they are, and opened on purpose."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings
from django.urls import reverse
from rest_framework.test import APIClient

from tests.application.callers import VIEWER, Callers
from tests.application.site import EXAMPLE, bare_environment, manage

OTHER_SITE = "https://app.example.org"


def test_the_production_form_passes_djangos_checks(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path) | {
        "HTTPS": "1",
        "PROXIES": "1",
        "CACHE_URL": "redis://127.0.0.1:6379/1",
        "DATABASE_URL": "postgres://site:secret@127.0.0.1/site",
        "CORS_ALLOWED_ORIGINS": OTHER_SITE,
        "EMAIL_URL": "smtp+tls://site:secret@mail.example.org:587",
    }

    manage(environment, "check", "--deploy", "--fail-level=WARNING")


def test_a_site_that_prints_its_mails_is_told_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=EXAMPLE,
        env=bare_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "accounts.W001" in done.stderr
    assert "EMAIL_URL is not set" in done.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"SECRET_KEY": ""}, "Set SECRET_KEY"),
        ({"TOKEN_SIGNING_KEY": ""}, "Set TOKEN_SIGNING_KEY"),
        ({"TOKEN_SIGNING_KEY": "short"}, "TOKEN_SIGNING_KEY must have 32 bytes"),
        ({"MEDIA_ROOT": ""}, "STORAGE_URL is not set"),
        ({"THROTTLE_USER": "many"}, "THROTTLE_USER must be like 600/minute"),
    ],
)
def test_settings_that_are_not_safe_are_refused(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        cwd=EXAMPLE,
        env=bare_environment(tmp_path) | changed,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert message in done.stderr
    assert "short" not in done.stderr


def test_no_other_sites_scripts_may_use_the_api(callers: Callers) -> None:
    client = callers[VIEWER].api
    response = client.get(reverse("api:object-list"), HTTP_ORIGIN=OTHER_SITE)

    assert not [name for name in response.headers if name.startswith("Access-Control")]


def test_a_site_that_is_named_may_use_the_api_and_no_other(callers: Callers) -> None:
    from django.conf import settings

    middleware = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=middleware, CORS_ALLOWED_ORIGINS=[OTHER_SITE]):
        client = callers[VIEWER].api
        url = reverse("api:object-list")
        named = client.get(url, HTTP_ORIGIN=OTHER_SITE)
        other = client.get(url, HTTP_ORIGIN="https://evil.example")
        page = client.get("/", HTTP_ORIGIN=OTHER_SITE)
        asked = client.options(
            url,
            HTTP_ORIGIN=OTHER_SITE,
            HTTP_ACCESS_CONTROL_REQUEST_METHOD="PUT",
            HTTP_ACCESS_CONTROL_REQUEST_HEADERS="if-none-match, range",
        )

    assert named.headers["Access-Control-Allow-Origin"] == OTHER_SITE
    assert "Access-Control-Allow-Credentials" not in named.headers
    may_send = asked.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"if-match", "if-none-match", "range"} <= set(may_send)
    may_read = named.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"content-range", "etag", "retry-after"} <= set(may_read)
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Access-Control-Allow-Origin" not in page.headers


def test_the_cookie_of_the_admin_opens_no_door_of_the_api(callers: Callers) -> None:
    # So another site's form, which a browser sends with it, does nothing.
    client = APIClient()
    client.force_login(callers[VIEWER].user)

    assert client.get(reverse("api:object-list")).status_code == 401
    assert client.post(reverse("api:tokens-revoke")).status_code == 401


def test_the_readme_lists_the_variables_that_the_settings_read() -> None:
    source = (EXAMPLE / "config/settings.py").read_text("utf-8")
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    readers = "get|flag|words|number|number_or_none|rate|db|cache|email_url"
    reads = rf'(?<![.\w])(?:{readers})\("([A-Z_]+)"'

    read = set(re.findall(reads, source))
    listed = set(re.findall(r"`([A-Z_]+)`", readme))

    assert len(read) > 20
    # Told by its own page of the documentation.
    assert read - listed - {"STATIC_STORAGE_URL_FILE"} == set()
