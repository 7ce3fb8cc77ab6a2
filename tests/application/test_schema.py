"""The API is what its schema says.

A figure that is a test, by a few examples; ``benchmarks.application schema`` asks more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from tests.application import schema_run

EXAMPLES = 1  # of each operation and phase; `benchmarks.application schema` asks more


def test_the_schema_is_valid_and_nothing_in_it_is_guessed(tmp_path: Path) -> None:
    call_command(
        "spectacular",
        "--validate",
        "--fail-on-warn",
        f"--file={tmp_path / 'schema.yaml'}",
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
def test_no_answer_is_outside_the_schema(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]

    result = schema_run.run(EXAMPLES)

    assert not result.failures, "\n\n".join(
        f"{kind}\n{shown}" for kind, shown in result.failures.items()
    )
    assert {"EXAMPLES", "COVERAGE", "FUZZING", "STATEFUL_TESTING"} <= result.phases


@pytest.mark.django_db
def test_the_page_to_try_it_loads_nothing_from_elsewhere() -> None:
    page = Client().get("/api/v1/docs/")

    assert page.status_code == 200
    assert b"//cdn" not in page.content
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert b"<script>" not in page.content
