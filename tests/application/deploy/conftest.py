"""The cloud that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.application.deploy.cloud import Cloud, made_cloud
from tests.application.postgres import Postgres
from tests.support.gcs_servers import GCS, running_gcs


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCS]:
    with running_gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="module")
def cloud(
    postgres: Postgres, gcs: GCS, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    with made_cloud(postgres, gcs, tmp_path_factory.mktemp("secrets")) as made:
        yield made
