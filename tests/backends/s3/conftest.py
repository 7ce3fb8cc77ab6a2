"""Storages on S3 that only its own tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tahoestorage.backends.s3 import S3Storage
from tests.support.s3_servers import S3Server
from tests.support.s3_storages import MakeS3, storages_of


@pytest.fixture
def make_tls_s3(tls_weed: S3Server, tmp_path: Path) -> MakeS3:
    """Make storages of one bucket on SeaweedFS by https."""
    return storages_of(tls_weed, tmp_path)


@pytest.fixture
def strict_s3(make_strict_s3: MakeS3) -> S3Storage:
    """A storage on SeaweedFS."""
    return make_strict_s3()
