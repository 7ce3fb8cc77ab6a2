"""What the site tells Prometheus, and a command, of what its processes did."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests
from django.test import Client

from tahoestorage.testing.grid import LocalGrid
from tests.application.site import bare_environment, make_tables, manage, served_by

TOKEN = "a-token-of-this-test"


@pytest.mark.django_db
def test_without_a_token_there_is_no_such_page() -> None:
    assert Client().get("/metrics").status_code == 404


def test_the_site_s_processes_are_told_in_sum_to_who_has_the_token(
    tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    (tmp_path / "root.cap").write_text(tahoe_grid.create_root().uri)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "counts").mkdir()
    environment = bare_environment(tmp_path) | {
        "TAHOE_STORAGE_BASE_URL": tahoe_grid.base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(tmp_path / "root.cap"),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(tmp_path / "cache"),
        "TAHOE_METRICS_TOKEN_FILE": str(tmp_path / "token"),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counts"),
    }
    make_tables(environment)
    with served_by(environment, tmp_path / "log", "--workers=2") as (site, _):
        # It looks for a name that nothing has.
        assert site.get("/health/store").json() == {"store": "ok"}
        assert site.get("/metrics").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        # Whichever process responds.
        told = [
            requests.get(f"{site.address}/metrics", headers=headers, timeout=60).text
            for _ in range(4)
        ]
        said = json.loads(manage(environment, "storage_cache", "stats", "--json"))

    misses = {
        found
        for text in told
        for found in re.findall(
            r'^tahoestorage_cache_lookups_total{result="miss"} (\S+)$', text, re.M
        )
    }
    (count,) = misses
    assert float(count) == said["live"]["misses"] > 0
    assert said["live"]["is_recorded"]
