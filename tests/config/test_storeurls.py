"""A URL that names a store: what is made of it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.utils.module_loading import import_string

from tahoestorage import env
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support.environment import (
    FOLDER,
    GCS,
    MEMORY,
    S3,
    TAHOE,
    errors,
    from_url,
    options,
    wrong,
)

pytestmark = pytest.mark.usefixtures("no_store_variables")


class TestAUrlNamesAStore:
    @pytest.mark.parametrize(
        ("url", "backend", "expected"),
        [
            (
                "tahoe+http://127.0.0.1:3456/?base_cap_file=/run/root.cap",
                TAHOE,
                {
                    "base_url": "http://127.0.0.1:3456",
                    "base_cap_file": "/run/root.cap",
                },
            ),
            (
                "tahoe+https://gateway.example/grid/?retries=5&read_timeout=1.5"
                "&allow_overwrite=yes&trusted_hosts=10.0.0.0/8,gateway",
                TAHOE,
                {
                    "base_url": "https://gateway.example/grid",
                    "retries": 5,
                    "read_timeout": 1.5,
                    "allow_overwrite": True,
                    "trusted_hosts": ["10.0.0.0/8", "gateway"],
                },
            ),
            ("s3://media", S3, {"bucket_name": "media"}),
            (
                "s3://My_media.2/a%20site/2026/?endpoint_url=http://127.0.0.1:9000"
                "&region_name=eu-central-1&querystring_expire=60",
                S3,
                {
                    "bucket_name": "My_media.2",
                    "location": "a site/2026",
                    "endpoint_url": "http://127.0.0.1:9000",
                    "region_name": "eu-central-1",
                    "querystring_expire": 60,
                },
            ),
            (
                "s3://media?gzip=on&gzip_content_types=text/css,image/svg+xml"
                '&object_parameters={"CacheControl":%20"max-age=60"}',
                S3,
                {
                    "bucket_name": "media",
                    "gzip": True,
                    "gzip_content_types": ["text/css", "image/svg+xml"],
                    "object_parameters": {"CacheControl": "max-age=60"},
                },
            ),
            (
                "gs://media/site?project_id=mine&expiration=PT1H&blob_chunk_size=262144",
                GCS,
                {
                    "bucket_name": "media",
                    "location": "site",
                    "project_id": "mine",
                    "expiration": timedelta(hours=1),
                    "blob_chunk_size": 262144,
                },
            ),
            ("file:///srv/media%20files", FOLDER, {"location": "/srv/media files"}),
            (
                "file:///srv/media/?base_url=/files/&file_permissions_mode=0640",
                FOLDER,
                {
                    "location": "/srv/media/",
                    "base_url": "/files/",
                    "file_permissions_mode": 0o640,
                },
            ),
            ("memory://", MEMORY, {}),
            ("MEMORY:///?base_url=/files/", MEMORY, {"base_url": "/files/"}),
        ],
    )
    def test_with_its_options(
        self, url: str, backend: str, expected: dict[str, Any]
    ) -> None:
        assert from_url(url) == {"BACKEND": backend, "OPTIONS": expected}

    @pytest.mark.parametrize(
        "url", ["s3://media?profile=site", "s3://media?session_profile=site"]
    )
    def test_with_a_profile_that_beats_the_keys_of_the_environment(
        self, url: str, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="other")

        made = env.storage_from_url(url)

        assert isinstance(made, import_string(S3))
        assert (made.session_profile, made.access_key) == ("site", None)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("cache=false", {"cache": False}),
            ("cache=true", {"cache": True}),
            (
                "cache.directory=/var/cache/site&cache.lifetime=60&cache.size_limit=16777216"
                "&cache.redis=redis://cache:6379/0",
                {
                    "cache": {
                        "directory": "/var/cache/site",
                        "lifetime": 60.0,
                        "size_limit": 16777216,
                        "redis": "redis://cache:6379/0",
                    }
                },
            ),
        ],
    )
    @pytest.mark.parametrize(
        "store", ["tahoe+http://gateway/", "s3://media", "gs://media"]
    )
    def test_with_its_cache(
        self, store: str, query: str, expected: dict[str, Any]
    ) -> None:
        assert options(f"{store}?{query}")["cache"] == expected["cache"]

    @pytest.mark.parametrize(
        ("url", "kind"),
        [
            (
                "tahoe+http://gateway/?cache.lifetime=60&directory_format=mdmf",
                TahoeStorage,
            ),
            ("s3://media/site?region_name=x&verify=false&cache.lifetime=60", S3),
            ("gs://media/site?project_id=x&gzip=true&allow_overwrite=true", GCS),
            ("file:///srv/media?allow_overwrite=true", FileSystemStorage),
            ("memory://?base_url=/media/", InMemoryStorage),
        ],
    )
    def test_of_which_a_storage_can_be_made(self, url: str, kind: Any) -> None:
        made = env.storage_from_url(url)

        assert type(made) is (import_string(kind) if isinstance(kind, str) else kind)

    def test_that_stores_and_reads(self, tahoe_grid: LocalGrid, tmp_path: Path) -> None:
        cap = tmp_path / "root.cap"
        cap.write_text(tahoe_grid.create_root().uri)
        for url in (
            f"tahoe+{tahoe_grid.base_url}/?base_cap_file={cap}"
            f"&cache.directory={tmp_path}/cache",
            f"file://{tmp_path}/media",
            "memory://",
        ):
            made = env.storage_from_url(url)
            name = made.save("a/b.txt", ContentFile(b"kept" * 100))
            with made.open(name) as file:
                assert file.read() == b"kept" * 100


class TestWhatIsWrongIsSaid:
    @pytest.mark.parametrize(
        ("url", "error"),
        [
            (
                "/srv/media",
                " has no scheme; expected one of tahoe+http, tahoe+https, s3",
            ),
            ("media", " has no scheme"),
            ("s3:media", " has no scheme"),
            ("gcs://media", ": the scheme gcs is not known; did you mean gs?"),
            (
                "http://h/?x=y",
                ": the scheme http is not known; did you mean tahoe+http?",
            ),
            ("tahoe://h/", ": the scheme tahoe is not known; did you mean tahoe+http?"),
            ("azure://media", ": the scheme azure is not known; expected one of file"),
            ("s3://media/a b", " has white space in it; expected it as %20"),
            ("s3://media/a#b", " has a # in it; expected it as %23"),
            ("s3://[media", " has brackets without an address in them"),
            ("s3://", ": the bucket has no proper name; expected s3://BUCKET/PREFIX"),
            ("s3:///media", ": the bucket has no proper name"),
            (
                "s3://127.0.0.1:9000/media",
                ": the bucket has a port; expected s3://BUCKET/PREFIX, with the server "
                "in the option endpoint_url",
            ),
            ("gs://media/a//b", ": the prefix has an empty part, or . or .., in it"),
            ("gs://media/../b", ": the prefix has an empty part, or . or .., in it"),
            (
                "file://srv/media",
                ": there is no folder; expected file:///DIR, with three",
            ),
            ("file:///", ": there is no folder"),
            ("memory://media", ": memory has no address; expected memory://"),
            ("tahoe+http:///", ": the gateway has no proper host"),
            ("tahoe+http://h:x/", ": the gateway has a wrong port"),
            (
                "s3://media?regoin_name=x",
                ": regoin_name is not known; did you mean region_name?",
            ),
            ("s3://media?region=x", ": region is not known; did you mean region_name?"),
            (
                "gs://media?project=x",
                ": project is not known; did you mean project_id?",
            ),
            (
                "gs://media?endpoint_url=x",
                ": endpoint_url is not known; expected one of",
            ),
            (
                "tahoe+http://h/?retires=x",
                ": retires is not known; did you mean retries?",
            ),
            (
                "s3://media?cache.life=x",
                ": cache.life is not known; did you mean cache.lifetime?",
            ),
            ("s3://media?bucket_name=x", ": bucket_name is what the address says"),
            ("file:///srv?location=x", ": location is what the address says"),
            ("gs://media?loction=x", ": loction is not known; expected one of"),
            ("s3://media?gzip", ": gzip has no value"),
            ("s3://media?gzip=", ": gzip has no value"),
            ("s3://media?gzip=1&gzip=0", ": gzip is given twice"),
            (
                "s3://media?profile=a&session_profile=b",
                ": session_profile is given twice",
            ),
        ],
    )
    def test_by_its_part_and_what_was_meant(self, url: str, error: str) -> None:
        (found,) = wrong(url)

        assert found.startswith(error)

    def test_all_together_each_with_its_variable(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(
            STORAGE_URL="s3://m?gzip=maybe&retries=1&cache.lifetime=0",
            STORAGE_URL_OLD="gcs://media",
            STATIC_STORAGE_URL="file://static",
            TAHOE_STORAGE_CACHE_SIZE_LIMIT="much",
        )

        found = errors(env.storages)

        assert [error.partition(" is ")[0].partition(";")[0] for error in found] == [
            "STORAGE_URL: the bucket has no proper name",
            "STORAGE_URL: gzip",
            "STORAGE_URL: retries",
            "STORAGE_URL: cache.lifetime",
            "STATIC_STORAGE_URL: there",
            "STORAGE_URL_OLD: the scheme gcs",
        ]

    def test_of_a_url_given_by_hand(self) -> None:
        (found,) = errors(lambda: env.storage_from_url("gcs://media"))

        assert found == "The URL: the scheme gcs is not known; did you mean gs?"
