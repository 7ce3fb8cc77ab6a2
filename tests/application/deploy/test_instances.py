"""Instances come and go, and each has a small disk that is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

from tests.application.deploy.cloud import ENTRYPOINT, Cloud, service
from tests.application.deploy.trials import (
    FILE,
    LEFT,
    SPILLED,
    processes,
    start_and_save,
    stop_during_uploads,
    use_small_disk,
)
from tests.support.gcs_servers import GCS


def test_uploads_at_sigterm_are_whole_or_leave_nothing(
    cloud: Cloud, gcs: GCS, tmp_path: Path
) -> None:
    found = stop_during_uploads(cloud, gcs, tmp_path, uploads=20, pause=0.03)

    assert found.under_way > 0
    assert found.status == 0
    # Cloud Run kills after 10 s: what is still under way is cut before that.
    said = re.search(r"WEB_GRACE:-(\d+)", ENTRYPOINT.read_text("utf-8"))
    assert said is not None
    assert int(said[1]) <= 8
    assert found.acknowledged
    assert found.lost == []
    assert found.broken == []
    assert found.pending == []
    assert found.without_row == []


def test_a_small_disk_is_enough_and_the_cache_keeps_its_bound(
    cloud: Cloud, tmp_path: Path
) -> None:
    files, least = 75, 8 << 20
    found = use_small_disk(
        cloud,
        tmp_path,
        files=files,
        megabytes=20,
        cache_limit=least,
        contents_limit=least,
    )

    # Without its bound it would hold more.
    assert files * FILE > least
    assert found.failures == []
    assert least // 2 <= found.contents <= least
    assert found.most_in_cache <= 2 * least
    assert found.spilled >= SPILLED * 0.9
    # Of all that was on the disk the cache alone is left.
    assert found.on_disk - found.in_cache < LEFT


def test_a_new_instance_saves_by_at_most_one_request_more(
    cloud: Cloud, gcs: GCS, tmp_path: Path
) -> None:
    found = start_and_save(cloud, gcs, tmp_path, instances=2)

    assert max(found.cold) <= min(found.warm) + 1
    assert found.without_row == []


def test_secrets_are_where_they_are_deployed_to_and_nowhere_else(
    cloud: Cloud, tmp_path: Path
) -> None:
    with service(cloud.environment, tmp_path / "disk") as run:
        run.sign_in(cloud.environment)
        run.put("secret.txt", b"content")
        run.get("/health")
        started = [
            (
                Path(f"/proc/{pid}/cmdline").read_text(),
                Path(f"/proc/{pid}/environ").read_text().split("\0"),
            )
            for pid in processes(run.process.pid)
        ]
        log = run.log.read_text()
    listed = "".join(command for command, _ in started)

    def holding(text: str) -> list[str]:
        return [name for name, value in cloud.secrets.items() if value in text]

    assert "gunicorn" in listed
    assert "gunicorn" in log
    assert holding(listed) == []
    assert holding(log) == []
    for _, environment in started:
        # What may be renewed is in a file, and in no variable.
        given = {name for one in environment for name in holding(one)}
        assert given == {*cloud.secrets} - {"store-database-password"}
