"""A user name and password in a URL of a storage's options: kept where they are."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.migrations.writer import MigrationWriter
from pytest_django.fixtures import Settings

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.env import storage_from_url
from tahoestorage.storage import TahoeStorage

PASSWORD = "Pas5wordThatNobodyMaySee"
URL = f"https://somebody:{PASSWORD}@store.example.com"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (S3Storage, {"endpoint_url": URL}),
        (S3Storage, {"custom_domain": URL.removeprefix("https://")}),
        (GCSStorage, {"custom_endpoint": URL}),
    ],
)
def test_what_visitors_would_see_in_urls_is_refused(
    kind: Any, options: dict[str, str], settings: Settings
) -> None:
    (name,) = options
    with pytest.raises(
        ImproperlyConfigured, match=f"{name} .*password.*Take it out"
    ) as raised:
        kind(bucket_name="bucket", **options)
    assert PASSWORD not in str(raised.value)
    assert raised.value.__cause__ is None
    prefix = {"custom_endpoint": "GS", "custom_domain": "AWS_S3"}.get(name, "AWS_S3")
    setattr(settings, f"{prefix}_{name.upper()}", options[name])
    with pytest.raises(ImproperlyConfigured, match=name):
        kind(bucket_name="bucket")


@pytest.mark.parametrize(
    "option",
    [
        {"base_url": URL},
        {"public_base_url": URL},
        {"media_url": URL},
        {"cache": {"redis": URL.replace("https", "redis")}},
        {"cache": {"redis": f"redis://127.0.0.1/?password={PASSWORD}"}},
    ],
)
def test_migrations_and_pickles_have_none(option: dict[str, Any]) -> None:
    storage = TahoeStorage(allow_overwrite=True, **option)
    assert storage.deconstruct()[2] == {"allow_overwrite": True}
    assert PASSWORD not in MigrationWriter.serialize(storage)[0]
    assert PASSWORD.encode() not in pickle.dumps(storage)
    assert PASSWORD not in repr(storage.__dict__)


@pytest.mark.parametrize(
    "proxies",
    [{"https": URL}, {"https": f"somebody:{PASSWORD}@proxy:3128"}],
)
def test_proxies_stay_where_they_are(proxies: dict[str, str]) -> None:
    storage = S3Storage(bucket_name="bucket", proxies=proxies)
    assert storage.deconstruct()[2] == {"bucket_name": "bucket"}
    assert PASSWORD.encode() not in pickle.dumps(storage)


@pytest.mark.parametrize(
    "url",
    [
        f"tahoe+http://somebody:{PASSWORD}@127.0.0.1:3456/",
        f"s3://somebody:{PASSWORD}@bucket/",
        f"s3://bucket/?endpoint_url={URL}",
        f"gs://bucket/?custom_endpoint={URL}",
        f"file://somebody:{PASSWORD}@host/folder",
        f"memory://somebody:{PASSWORD}@host",
    ],
)
def test_the_environment_s_url_has_none(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        storage_from_url(url)
    assert PASSWORD not in str(raised.value)
