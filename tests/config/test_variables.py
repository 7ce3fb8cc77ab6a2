"""Variables that name a store, and those that people have already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.module_loading import import_string

from tahoestorage import env
from tahoestorage.storage import TahoeStorage
from tests.support.environment import (
    CAP,
    GCS,
    MEMORY,
    S3,
    TAHOE,
    errors,
    options,
)

pytestmark = pytest.mark.usefixtures("no_store_variables")


class TestVariablesThatPeopleHave:
    def test_of_amazon(self, setenv: Callable[..., None]) -> None:
        setenv(
            AWS_STORAGE_BUCKET_NAME="media",
            AWS_S3_ENDPOINT_URL="http://127.0.0.1:9000",
            AWS_S3_REGION_NAME="eu-central-1",
            AWS_QUERYSTRING_AUTH="False",
            AWS_QUERYSTRING_EXPIRE="60",
            AWS_LOCATION="site",
            AWS_S3_OBJECT_PARAMETERS='{"CacheControl": "max-age=60"}',
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_PROFILE="not of django-storages",
        )

        assert env.storage() == {
            "BACKEND": S3,
            "OPTIONS": {
                "bucket_name": "media",
                "endpoint_url": "http://127.0.0.1:9000",
                "region_name": "eu-central-1",
                "querystring_auth": False,
                "querystring_expire": 60,
                "location": "site",
                "object_parameters": {"CacheControl": "max-age=60"},
                "access_key": "key",
                "secret_key": "secret",
                "session_profile": None,
            },
        }

    def test_of_google(self, setenv: Callable[..., None]) -> None:
        setenv(
            GS_BUCKET_NAME="media",
            GS_PROJECT_ID="mine",
            GS_EXPIRATION="3600",
            GS_FILE_OVERWRITE="false",
            GOOGLE_APPLICATION_CREDENTIALS="/run/key.json",
        )

        assert env.storage() == {
            "BACKEND": GCS,
            "OPTIONS": {
                "bucket_name": "media",
                "project_id": "mine",
                "expiration": timedelta(hours=1),
                "file_overwrite": False,
            },
        }

    def test_of_tahoe(self, setenv: Callable[..., None]) -> None:
        setenv(
            TAHOE_STORAGE_BASE_URL="http://gateway:3456",
            TAHOE_STORAGE_BASE_CAP=CAP,
            TAHOE_PUBLIC_BASE_URL="https://files.example",
            TAHOE_STORAGE_RETRIES="5",
            TAHOE_STORAGE_CACHE_DIRECTORY="/var/cache/site",
        )

        made = env.storage()

        assert made == {
            "BACKEND": TAHOE,
            "OPTIONS": {
                "base_url": "http://gateway:3456",
                "base_cap": CAP,
                "public_base_url": "https://files.example",
                "retries": 5,
                "cache": {"directory": "/var/cache/site"},
            },
        }
        assert CAP not in repr(made)
        assert TahoeStorage(**made["OPTIONS"]).options.root.uri == CAP

    @pytest.mark.parametrize("name", ["BASE_URL", "BASE_CAP_FILE"])
    def test_one_is_enough_for_a_grid(
        self, name: str, setenv: Callable[..., None]
    ) -> None:
        setenv(**{f"TAHOE_STORAGE_{name}": "http://gateway"})

        assert env.storage()["BACKEND"] == TAHOE

    def test_each_may_be_in_a_file(
        self, tmp_path: Path, setenv: Callable[..., None]
    ) -> None:
        for name, text in (("bucket", "media"), ("key", "AKIA"), ("secret", "s3cret")):
            (tmp_path / name).write_text(f"{text}\n")
        setenv(
            AWS_STORAGE_BUCKET_NAME_FILE=f"{tmp_path}/bucket",
            AWS_S3_ACCESS_KEY_ID_FILE=f"{tmp_path}/key",
            AWS_S3_SECRET_ACCESS_KEY_FILE=f"{tmp_path}/secret",
        )

        made = env.storage()["OPTIONS"]

        assert made["bucket_name"] == "media"
        assert (made["access_key"], made["secret_key"]) == ("AKIA", "s3cret")

    def test_keys_of_a_session_have_their_token(
        self, setenv: Callable[..., None]
    ) -> None:
        """django-storages takes the keys from the environment, but not the token."""
        setenv(
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_SESSION_TOKEN="token",
        )

        made = env.storage_from_url("s3://media")

        assert isinstance(made, import_string(S3))
        assert made.security_token == "token"

    def test_a_token_without_keys_means_nothing(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_SESSION_TOKEN="token")

        assert options("s3://media") == {"bucket_name": "media"}

    def test_those_of_django_storages_alone_come_first(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(
            AWS_S3_ACCESS_KEY_ID="ours",
            AWS_S3_SECRET_ACCESS_KEY="ours",
            AWS_ACCESS_KEY_ID="of all",
            AWS_SECRET_ACCESS_KEY="of all",
        )

        made = options("s3://media")

        assert (made["access_key"], made["secret_key"]) == ("ours", "ours")

    def test_the_keys_of_a_url_are_its_own(
        self, tmp_path: Path, setenv: Callable[..., None]
    ) -> None:
        (tmp_path / "key").write_text("own")
        setenv(
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_SESSION_TOKEN="token",
            AWS_S3_SESSION_PROFILE="site",
        )

        made = options(
            f"s3://media?access_key_file={tmp_path}/key&secret_key_file={tmp_path}/key"
        )

        assert made == {
            "bucket_name": "media",
            "access_key": "own",
            "secret_key": "own",
            "session_profile": None,
        }

    def test_a_url_is_told_where_the_cache_is(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(TAHOE_STORAGE_CACHE_DIRECTORY="/var/cache/site")

        assert options("gs://media")["cache"] == {"directory": "/var/cache/site"}
        assert options("gs://media?cache=off")["cache"] is False
        assert options("gs://media?cache.lifetime=9")["cache"] == {"lifetime": 9.0}
        assert options("file:///srv/media") == {"location": "/srv/media"}

    def test_beside_a_url_add_nothing_else(self, setenv: Callable[..., None]) -> None:
        setenv(AWS_S3_REGION_NAME="x", AWS_LOCATION="x", TAHOE_STORAGE_RETRIES="7")

        assert options("s3://media") == {"bucket_name": "media"}
        assert options("tahoe+http://h/") == {"base_url": "http://h"}

    @pytest.mark.parametrize(
        ("variables", "error"),
        [
            (
                {"STORAGE_URL": "s3://media", "GS_BUCKET_NAME": "media"},
                "STORAGE_URL and GS_BUCKET_NAME each name a store; expected one of",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "GS_BUCKET_NAME": "media"},
                "AWS_STORAGE_BUCKET_NAME and GS_BUCKET_NAME each name a store",
            ),
            (
                {"STORAGE_URL_FILE": __file__, "TAHOE_STORAGE_BASE_CAP_FILE": "/x"},
                "STORAGE_URL_FILE and TAHOE_STORAGE_BASE_CAP_FILE each name a store",
            ),
            (
                {"STORAGE_URL": "s3://media", "STORAGE_URL_FILE": "/x"},
                "STORAGE_URL and STORAGE_URL_FILE are both set; expected one",
            ),
            (
                {"TAHOE_STORAGE_BASE_CAP": CAP, "TAHOE_STORAGE_BASE_CAP_FILE": "/x"},
                "TAHOE_STORAGE_BASE_CAP and TAHOE_STORAGE_BASE_CAP_FILE are both set",
            ),
            (
                {
                    "GS_BUCKET_NAME": "media",
                    "GS_PROJECT_ID": "a",
                    "GS_PROJECT_ID_FILE": "/x",
                },
                "GS_PROJECT_ID and GS_PROJECT_ID_FILE are both set; expected one",
            ),
            (
                {
                    "STORAGE_URL": "s3://media",
                    "AWS_S3_SESSION_PROFILE": "x",
                    "AWS_ACCESS_KEY_ID": "x",
                    "AWS_SECRET_ACCESS_KEY": "x",
                },
                "AWS_S3_SESSION_PROFILE and AWS_ACCESS_KEY_ID are both set",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "AWS_SECRET_ACCESS_KEY": "x"},
                "AWS_SECRET_ACCESS_KEY is set without the access_key to it",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "AWS_S3_VERIFY_FILE": "/none"},
                "AWS_S3_VERIFY_FILE names a file that cannot be read",
            ),
            (
                {"GS_BUCKET_NAME": "media", "GS_CREDENTIALS": "{}"},
                "GS_CREDENTIALS cannot be given as text",
            ),
            (
                {"TAHOE_STORAGE_BASE_URL": "http://h", "TAHOE_STORAGE_RETRIES": "-1"},
                "TAHOE_STORAGE_RETRIES is -1; expected a whole number, at least 0",
            ),
            (
                {"TAHOE_STORAGE_BASE_URL": "http://h", "TAHOE_STORAGE_RETIRES": "1"},
                "TAHOE_STORAGE_RETIRES is not known; did you mean TAHOE_STORAGE_RET",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "AWS_S3_REGION": "x"},
                "AWS_S3_REGION is not known; did you mean AWS_S3_REGION_NAME?",
            ),
            (
                {"AWS_STORAGE_BUCKET": "media"},
                "AWS_STORAGE_BUCKET is not known; did you mean AWS_STORAGE_BUCKET_NAME",
            ),
            (
                {"GS_BUCKET_NAMES": "media"},
                "GS_BUCKET_NAMES is not known; did you mean GS_BUCKET_NAME?",
            ),
            ({}, "STORAGE_URL is not set, and nothing else in the environment names"),
        ],
    )
    def test_that_contradict_or_are_misspelt(
        self,
        variables: dict[str, str],
        error: str,
        setenv: Callable[..., None],
    ) -> None:
        setenv(**variables)

        (found,) = errors(env.storage)

        assert found.startswith(error)

    def test_of_other_programs_are_let_alone(self, setenv: Callable[..., None]) -> None:
        setenv(
            AWS_S3_USE_ARN_REGION="true",
            AWS_ENDPOINT_URL_S3="http://h",
            AWS_REGION="x",
            GS_LIB="/usr/share/ghostscript",
            GS_OPTIONS="-q",
            TAHOE_NODE="x",
        )

        assert env.storage(default="memory://")["BACKEND"] == MEMORY
        setenv(AWS_STORAGE_BUCKET_NAME="media")
        assert env.storage()["OPTIONS"] == {"bucket_name": "media"}

    def test_misspelt_options_of_a_store_that_is_not_used_are_let_alone(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_S3_REGION="x", GS_PROJECT="x")

        assert env.storage(default="memory://")["BACKEND"] == MEMORY

    def test_empty_ones_are_not_set(self, setenv: Callable[..., None]) -> None:
        setenv(
            STORAGE_URL="", GS_BUCKET_NAME="", STORAGE_URL_OLD="", STATIC_STORAGE_URL=""
        )

        made = env.storages(default="memory://")

        assert made.keys() == {"default", "staticfiles"}
        assert made["default"]["BACKEND"] == MEMORY
