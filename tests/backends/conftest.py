"""Storages on Google Cloud Storage, of one bucket and one cache each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tahoestorage.backends.gcs import GCSStorage
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
