"""Storages on Google Cloud Storage, and on each kind of store, of one cache each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tests.support.gcs_servers import GCS
from tests.support.gcs_storages import Make


@pytest.fixture
def bucket(gcs: GCS) -> str:
    return gcs.make_bucket()


@pytest.fixture
def make(gcs: GCS, bucket: str, tmp_path: Path) -> Make:
    """Make storages of one bucket, with one cache."""

    def make(**options: Any) -> GCSStorage:
        cache = {"directory": str(tmp_path / "cache")}
        defaults = {**gcs.options, "bucket_name": bucket, "cache": cache}
        return GCSStorage(**{**defaults, **options})

    return make


@pytest.fixture(params=["tahoe", "s3", "gcs"])
def on_each_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """Make storages of one place, on each kind of store."""
    if request.param == "tahoe":
        made: Callable[..., Any] = request.getfixturevalue("make_storage")
        return made
    kind = {"s3": S3Storage, "gcs": GCSStorage}[request.param]
    server = request.getfixturevalue({"s3": "moto"}.get(request.param, "gcs"))
    usual = {**server.options, "bucket_name": server.make_bucket()}
    usual["cache"] = {"directory": str(tmp_path / "cache")}
    return lambda **options: kind(**{**usual, **options})
