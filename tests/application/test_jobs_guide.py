"""The guide to jobs: what it tells to run is run, and its kind does its work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.application.site import bare_environment, make_tables
from tests.application.test_accounts_guide import run
from tests.support.documents import block


def test_the_guide_runs_a_worker_and_sweeps(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    make_tables(environment)

    once = {"jobs_worker": "jobs_worker --once"}
    said = run(
        environment,
        block("docs/application/jobs.md", "sh", 1, replacing=once),
        block("docs/application/jobs.md", "sh", 2),
    )

    assert "0 put back, 0 failed" in said
    assert '"put_back": 0' in said


@pytest.mark.django_db
def test_the_kind_of_the_guide_does_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs import kinds, running
    from jobs.models import Job
    from jobs.starting import start

    monkeypatch.setattr(kinds, "_kinds", {})
    names: dict[str, Any] = {}
    exec(block("docs/application/jobs.md", "python", 1), names)  # noqa: S102
    for papers in (["one two", "three"], []):
        start("papers.count", arguments={"papers": papers})

    assert running.run_waiting() == 2

    told = Job.objects.order_by("created_at").values_list("state", "result", "error")
    assert list(told) == [
        ("done", {"words": 3}, ""),
        ("failed", None, "There is no paper."),
    ]
