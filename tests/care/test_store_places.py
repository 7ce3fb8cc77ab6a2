"""What tells that two storages keep their files in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.care.storeplaces import path_within
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent


def s3(bucket: str, **options: Any) -> S3Storage:
    keys = {"access_key": "a", "secret_key": "b", "region_name": "eu-north-1"}
    return S3Storage(bucket_name=bucket, cache=None, **{**keys, **options})


def gcs(bucket: str, **options: Any) -> GCSStorage:
    return GCSStorage(bucket_name=bucket, cache=None, project_id="p", **options)


def test_a_folder_is_one_place_however_it_is_spelled(tmp_path: Path) -> None:
    folder, other = tmp_path / "media", tmp_path / "other"
    (folder / "a" / "b").mkdir(parents=True)
    other.mkdir()
    (other / "link").symlink_to(folder)
    here = FileSystemStorage(folder)

    assert path_within(FileSystemStorage(f"{other}/link/"), here) == ""
    assert path_within(FileSystemStorage(folder / "a" / "b"), here) == "a/b"
    assert path_within(here, FileSystemStorage(folder / "a")) is None
    assert path_within(FileSystemStorage(f"{folder}2"), here) is None
    assert path_within(InMemoryStorage(), InMemoryStorage()) is None


@pytest.mark.parametrize("make", [s3, gcs])
def test_a_bucket_and_a_location_are_one_place_whoever_asks(make: Any) -> None:
    here = make("media", location="site")

    with requests_sent() as sent:
        assert path_within(make("media", location="site/"), here) == ""
        assert path_within(make("media", location="site/a"), here) == "a"
        assert path_within(make("media"), here) is None
        assert path_within(make("media", location="site2"), here) is None
        assert path_within(make("other", location="site"), here) is None
    assert sent == []


def test_other_keys_lead_to_one_bucket_and_another_endpoint_does_not() -> None:
    here = s3("media", endpoint_url="http://one.example:9000")

    assert path_within(s3("media", **vars_of("one", access_key="c")), here) == ""
    assert path_within(s3("media", **vars_of("two")), here) is None


def vars_of(host: str, **more: str) -> dict[str, str]:
    return {"endpoint_url": f"http://{host}.example:9000", **more}


def test_a_root_is_one_place_by_each_of_its_caps(tahoe_grid: LocalGrid) -> None:
    root, other = tahoe_grid.create_root(), tahoe_grid.create_root()

    def on_grid(cap: str) -> TahoeStorage:
        return TahoeStorage(base_url=tahoe_grid.base_url, base_cap=cap, cache=None)

    assert path_within(on_grid(root.read_only.uri), on_grid(root.uri)) == ""
    assert path_within(on_grid(other.uri), on_grid(root.uri)) is None
