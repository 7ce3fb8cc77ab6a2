"""The API is what its schema says.

A figure that is a test, by a few examples; ``benchmarks.application schema`` asks more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from api import docs
from tests.application import schema_run
from tests.application.callers import NOBODY, SUPER_TENANT, Callers

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
def test_a_process_makes_the_schema_once(callers: Callers) -> None:
    make = SchemaGenerator.get_schema
    docs.schema.cache_clear()

    with mock.patch.object(SchemaGenerator, "get_schema", autospec=True) as made:
        made.side_effect = make
        found = [
            api.get(f"/api/v1/schema/{asked}", headers={"Accept": kind})
            for api in (callers[NOBODY].api, callers[SUPER_TENANT].api)
            for asked in ("", "?lang=de", "?version=9")
            for kind in ("*/*", "application/json")
        ]

    assert made.call_count == 1
    (content,) = {one.content for one in found}
    assert json.loads(content)["paths"]["/api/v1/objects/"]
    assert {one["Content-Type"] for one in found} == {
        "application/vnd.oai.openapi+json",
        "application/json",
    }


@pytest.mark.django_db
def test_the_page_to_try_it_loads_nothing_from_elsewhere() -> None:
    page = Client().get("/api/v1/docs/")

    assert page.status_code == 200
    assert b"//cdn" not in page.content
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert b"<script>" not in page.content
    assert b"<style" not in page.content
    assert b"favicon" in page.content
