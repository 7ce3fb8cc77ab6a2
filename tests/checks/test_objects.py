"""The system checks of stores of objects, which --deploy asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.test import Client
from google.auth.credentials import AnonymousCredentials
from pytest_django.fixtures import Settings
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from tahoestorage.backends.gcs import GCSManifestStaticStorage
from tahoestorage.backends.s3 import S3StaticStorage, S3Storage
from tests.support.gcs_servers import GCS
from tests.support.s3_servers import S3Server


def findings(settings: Settings, **options: Any) -> list[tuple[str, str]]:
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.backends.s3.S3Storage",
            "OPTIONS": {**options, "cache": False},
        },
    }
    found = run_checks(tags=["files"], include_deployment_checks=True)
    return [(str(message.id), message.msg) for message in found]


def test_a_store_that_refuses_to_overwrite_is_well(
    settings: Settings, weed: S3Server
) -> None:
    bucket = weed.make_bucket(untried=True)
    ((number, text),) = findings(settings, **weed.options, bucket_name=bucket)
    assert number == "tahoestorage.I001"
    assert text.startswith('STORAGES["default"]: looked at: the store responds')
    assert "Contents" not in weed.client().list_objects_v2(Bucket=bucket)


def test_a_store_that_would_overwrite_is_an_error(
    settings: Settings, moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How that is found out, test_s3* try.
    monkeypatch.setattr(S3Storage, "conditional", lambda self, **more: False)
    options = {**moto.options, "bucket_name": moto.make_bucket()}
    ((number, text),) = findings(settings, **options)
    assert number == "tahoestorage.E007"
    assert text.startswith('STORAGES["default"]: the store can\'t refuse to overwrite')
    ((number, text),) = findings(settings, **options, file_overwrite=True)
    assert number == "tahoestorage.I001"
    assert "saves overwrite there" in text


def test_a_store_that_is_not_there_is_an_error(
    settings: Settings, weed: S3Server
) -> None:
    good = {**weed.options, "bucket_name": weed.make_bucket(untried=True)}
    for wrong, said in (
        ({"endpoint_url": "http://127.0.0.1:9"}, ""),
        ({"secret_key": "hunter2hunter2"}, "403 .*SignatureDoesNotMatch"),
        ({"bucket_name": "there-is-none"}, "404 .*NoSuchBucket"),
        ({"bucket_name": "there-is-none", "file_overwrite": True}, "404 .*NoSuchBuck"),
    ):
        ((number, text),) = findings(settings, **{**good, **wrong})
        assert number == "tahoestorage.E006"
        assert "hunter2" not in text
        assert "the store can't be used" in text
        assert ("[the store said: " in text) is bool(said)
        assert re.search(said, text)


@pytest.mark.parametrize("signed", [True, False])
def test_credentials_that_cannot_sign_are_a_warning_where_urls_are_signed(
    settings: Settings, gcs: GCS, signed: bool
) -> None:
    options = {
        **gcs.options,
        "bucket_name": gcs.make_bucket(),
        "credentials": AnonymousCredentials(),
        "querystring_auth": signed,
    }
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.backends.gcs.GCSStorage",
            "OPTIONS": {**options, "cache": False},
        },
    }

    found = run_checks(tags=["files"], include_deployment_checks=True)

    (looked_at, *others) = sorted(found, key=lambda message: str(message.id))
    assert looked_at.id == "tahoestorage.I001"
    assert [message.id for message in others] == ["tahoestorage.W004"][: int(signed)]
    assert not signed or "no URL can be signed" in others[0].msg


urlpatterns: list[Any] = []


def static_files(settings: Settings, backend: type[Storage], **options: Any) -> Storage:
    """Keep static files in a store; return the storage of them."""
    settings.TAHOE_PUBLIC_BASE_URL = ""
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {
            "BACKEND": f"{backend.__module__}.{backend.__name__}",
            "OPTIONS": {**options, "cache": False},
        },
    }
    return storages["staticfiles"]


@pytest.mark.parametrize(
    ("options", "signed"),
    [
        ({}, False),
        ({"querystring_auth": True}, True),
        ({"querystring_auth": True, "default_acl": "publicRead"}, False),
        (
            {"querystring_auth": True, "object_parameters": {"acl": "publicRead"}},
            False,
        ),
    ],
    ids=["as-it-is", "signed", "public", "public-by-parameters"],
)
def test_static_files_on_google_s_are_an_error_where_their_urls_are_signed(
    settings: Settings, gcs: GCS, options: dict[str, Any], signed: bool
) -> None:
    options = {**gcs.options, "bucket_name": gcs.make_bucket(), **options}
    static = static_files(settings, GCSManifestStaticStorage, **options)

    found = [message.id for message in run_checks(tags=["files"])]

    assert found == (["tahoestorage.E010"] if signed else [])
    settings.DEBUG = True  # names without their hash, for which no file need be there
    assert ("X-Goog-Signature=" in static.url("site.css")) is signed


class WhiteNoise(WhiteNoiseMiddleware):  # type: ignore[misc]
    """A site's own, in a module that is not called so."""


@pytest.mark.parametrize(
    "middleware",
    ["whitenoise.middleware.WhiteNoiseMiddleware", f"{__name__}.WhiteNoise"],
    ids=["its-own", "a-subclass"],
)
def test_whitenoise_serves_stale_static_files_where_the_check_says_so(
    settings: Settings, moto: S3Server, tmp_path: Path, middleware: str
) -> None:
    settings.MIDDLEWARE = [middleware]
    settings.STATIC_URL, settings.STATIC_ROOT = "/static/", str(tmp_path)
    options = {**moto.options, "bucket_name": moto.make_bucket()}
    static = static_files(settings, S3StaticStorage, **options)
    (tmp_path / "site.css").write_bytes(b"of before")
    static.save("site.css", ContentFile(b"new"))

    found = [message.id for message in run_checks(tags=["files"])]

    assert found == ["tahoestorage.E011"]
    settings.ROOT_URLCONF = __name__
    response: Any = Client().get("/static/site.css")
    assert b"".join(response) == b"of before"


def test_whitenoise_may_serve_other_files(
    settings: Settings, moto: S3Server, tmp_path: Path
) -> None:
    settings.MIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]
    settings.WHITENOISE_ROOT = str(tmp_path)
    options = {**moto.options, "bucket_name": moto.make_bucket()}
    static_files(settings, S3StaticStorage, **options)
    (tmp_path / "robots.txt").write_bytes(b"User-agent: *")

    assert run_checks(tags=["files"]) == []
    settings.ROOT_URLCONF = __name__
    response: Any = Client().get("/robots.txt")
    assert b"".join(response) == b"User-agent: *"
