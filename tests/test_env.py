"""All stores that the environment names: what goes into STORAGES."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.utils.module_loading import import_string

from tahoestorage import env
from tahoestorage.config.storeurls import STORES
from tests.support.environment import (
    GCS,
    S3,
    errors,
    from_url,
    run,
)

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.usefixtures("no_store_variables")


def test_it_needs_no_settings_and_imports_nothing_heavy() -> None:
    heavy = {
        "boto3",
        "botocore",
        "google",
        "redis",
        "diskcache",
        "requests",
        "whitenoise",
    }
    program = (
        "import sys\n"
        "from django.conf import settings\n"
        "from tahoestorage import env\n"
        "urls = ('tahoe+http://g/', 's3://media', 'gs://media', 'memory://')\n"
        "for url in urls: env.storages(default=url)\n"
        "assert not settings.configured\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    assert heavy.isdisjoint(run(program).split())


class TestAllStorages:
    def test_a_default_gives_way_to_the_environment(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(STORAGE_URL="s3://media")

        assert env.storages(default="file:///srv/media")["default"]["BACKEND"] == S3

    def test_each_further_url_is_an_alias(self, setenv: Callable[..., None]) -> None:
        setenv(
            STORAGE_URL="s3://media",
            STORAGE_URL_ARCHIVE="gs://archive",
            STORAGE_URL_OLD_FILES="file:///srv/media",
        )

        made = env.storages()

        assert made.keys() == {"default", "staticfiles", "archive", "old_files"}
        assert made["archive"]["OPTIONS"]["bucket_name"] == "archive"
        assert made["old_files"]["OPTIONS"] == {"location": "/srv/media"}

    def test_further_urls_leave_the_default_to_the_other_variables(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_STORAGE_BUCKET_NAME="media", STORAGE_URL_OLD="gs://media")

        made = env.storages()

        assert (made["default"]["BACKEND"], made["old"]["BACKEND"]) == (S3, GCS)

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("STORAGE_URL_DEFAULT", "STORAGE_URL"),
            ("STORAGE_URL_STATICFILES", "STATIC_STORAGE_URL"),
        ],
    )
    def test_some_aliases_have_variables_of_their_own(
        self, variable: str, meant: str, setenv: Callable[..., None]
    ) -> None:
        setenv(**{variable: "memory://"})

        assert errors(lambda: env.storages(default="memory://")) == [
            f"{variable} is no further store; did you mean {meant}?"
        ]

    def test_any_variable_may_name_one(self, setenv: Callable[..., None]) -> None:
        setenv(AVATARS="gs://avatars", AWS_STORAGE_BUCKET_NAME="media")

        assert env.storage("AVATARS")["OPTIONS"] == {"bucket_name": "avatars"}
        (found,) = errors(lambda: env.storage("PHOTOS"))
        assert found.startswith("PHOTOS is not set")
        assert "s3://BUCKET" in found


class TestStaticFiles:
    @pytest.mark.parametrize(
        ("url", "backend", "expected"),
        [
            (
                "s3://static?region_name=x",
                "tahoestorage.backends.s3.S3StaticStorage",
                {"bucket_name": "static", "region_name": "x"},
            ),
            (
                "gs://static?querystring_auth=yes&file_overwrite=no",
                "tahoestorage.backends.gcs.GCSStaticStorage",
                {
                    "querystring_auth": True,
                    "file_overwrite": False,
                    "bucket_name": "static",
                },
            ),
            (
                "tahoe+http://127.0.0.1:3456/?retries=1",
                "tahoestorage.staticfiles.TahoeManifestStaticStorage",
                {"base_url": "http://127.0.0.1:3456", "retries": 1},
            ),
            (
                "file:///srv/static",
                "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
                {"location": "/srv/static"},
            ),
            ("", "django.contrib.staticfiles.storage.StaticFilesStorage", {}),
        ],
    )
    def test_go_to_their_own_store_or_where_django_has_them(
        self,
        url: str,
        backend: str,
        expected: dict[str, Any],
        setenv: Callable[..., None],
    ) -> None:
        setenv(STATIC_STORAGE_URL=url)

        made = env.storages(default="memory://")["staticfiles"]

        assert made == {"BACKEND": backend, "OPTIONS": expected}
        assert import_string(backend)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("memory://", "collectstatic is a process, whose memory goes with it"),
        ],
    )
    def test_are_refused_where_they_would_be_of_no_use(
        self, url: str, reason: str, setenv: Callable[..., None]
    ) -> None:
        setenv(STATIC_STORAGE_URL=url)

        (found,) = errors(lambda: env.storages(default="memory://"))

        assert found.startswith(
            f"STATIC_STORAGE_URL is no place for static files: {reason}"
        )

    def test_in_a_bucket_may_have_names_that_change(self) -> None:
        text = (ROOT / "docs" / "environment.md").read_text("utf-8")
        code = re.search(
            r'^    (STORAGES\["staticfiles"\]\["BACKEND"\] = .*)$', text, re.M
        )
        assert code
        program: dict[str, Any] = {"STORAGES": {"staticfiles": {}}}
        exec(code[1], program)  # noqa: S102
        backend = import_string(program["STORAGES"]["staticfiles"]["BACKEND"])
        assert issubclass(backend, ManifestFilesMixin)
        assert not backend.querystring_auth

    def test_of_the_default_store_are_not_those(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(STORAGE_URL="s3://media")

        static = env.storages()["staticfiles"]["BACKEND"]
        assert static.rpartition(".")[2] == "StaticFilesStorage"


class TestTheDocumentation:
    text = (ROOT / "docs" / "environment.md").read_text("utf-8")

    def test_names_every_scheme(self) -> None:
        told = re.findall(r"^\| `([a-z0-9+]+)://", self.text, re.MULTILINE)

        assert set(told) == STORES.keys()

    def test_names_no_variable_that_there_is_not(self) -> None:
        known = {
            name
            for store in STORES.values()
            for option in store.options().values()
            for name in option.variables
        }
        others = {"STORAGE_URL", "STATIC_STORAGE_URL", "STORAGE_URL_OLD"}
        others |= {"STATIC_URL", "STATIC_ROOT"}
        told = set(
            re.findall(r"`((?:AWS|GS|TAHOE|STORAGE|STATIC)_[A-Z0-9_]*)`", self.text)
        )
        plain = {name if name in known else name.removesuffix("_FILE") for name in told}

        assert plain - known - others == set()
        assert {"AWS_STORAGE_BUCKET_NAME", "GS_BUCKET_NAME"} <= told

    def test_has_urls_that_are_right(self) -> None:
        urls = re.findall(
            r"STORAGE_URL(?:_OLD)?='?((?:tahoe|s3|gs|file)[^\s'`]+)", self.text
        )

        assert len(urls) >= 4
        for url in urls:
            assert from_url(re.sub(r"[\w.]+_file=[^&]+&?", "", url))
