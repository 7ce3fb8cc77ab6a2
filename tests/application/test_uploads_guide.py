"""The guide to uploads: what it tells to run is run, one after another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from tests.application.site import (
    Environment,
    bare_environment,
    make_tables_and_user,
    manage,
    served,
)
from tests.application.test_accounts_guide import run
from tests.support.documents import block


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    environment = bare_environment(tmp_path) | {"NO_PROXY": "127.0.0.1"}
    make_tables_and_user(environment)
    return environment


def test_the_guide_uploads_a_file_at_once_and_in_parts(
    environment: Environment, tmp_path: Path
) -> None:
    token = json.loads(manage(environment, "createusertoken", "ann"))["access"]
    with served(environment, tmp_path / "log") as site:
        run(
            environment | {"SITE": site.address, "TOKEN": token},
            f"cd '{tmp_path}'\n",
            block("docs/application/uploads.md", "sh", 1),
            block("docs/application/uploads.md", "sh", 2),
        )
        found = requests.get(
            f"{site.address}/api/v1/objects/?folder=reports",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        ).json()["results"]
    first, second = sorted(found, key=lambda one: str(one["name"]))
    assert (first["name"], second["name"]) == ("numbers.txt", "parts.txt")
    assert first["sha256"] == second["sha256"]
    assert first["size"] == (tmp_path / "numbers.txt").stat().st_size

    said = run(environment, block("docs/application/uploads.md", "sh", 3))

    assert said.startswith("0 finished, 0 given up")
