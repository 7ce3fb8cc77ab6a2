"""The system checks of stores of objects, which --deploy asks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from tahoestorage.backends.s3 import S3Storage
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
    bucket = weed.make_bucket()
    ((number, text),) = findings(settings, **weed.options, bucket_name=bucket)
    assert number == "tahoestorage.I001"
    assert text.startswith('STORAGES["default"]: looked at: the store answers')
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
    good = {**weed.options, "bucket_name": weed.make_bucket()}
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
