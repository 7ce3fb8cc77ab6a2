"""The guide to accounts: what it tells to run is run, one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.application.site import (
    EXAMPLE,
    Environment,
    bare_environment,
    manage,
    served,
)
from tests.support.documents import block

PAGE = "docs/application/accounts.md"


def run(environment: Environment, *scripts: str) -> str:
    """Run them in one shell, in the example's folder; `python` is that of the tests."""
    python = f'python() {{ "{sys.executable}" "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", python + "".join(scripts)],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guide_leads_from_nothing_to_a_user_who_is_erased(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path) | {"NO_PROXY": "127.0.0.1"}
    del environment["DJANGO_SUPERUSER_PASSWORD"]

    said = run(
        environment,
        block("docs/application/accounts.md", "sh", 1),
        block("docs/application/accounts.md", "sh", 2),
    )

    assert "Made root, administrator of Operator." in said
    assert "Made demo-viewer." in said
    assert "Made ann, administrator of Demonstration." in said
    with served(environment, tmp_path / "log") as site:
        said = run(
            environment | {"SITE": site.address},
            block("docs/application/accounts.md", "sh", 3),
            block("docs/application/accounts.md", "sh", 4),
        )
        me, bob, group = (json.loads(f"{{{one}") for one in said.split("{")[1:])
    assert (me["username"], me["is_administrator"]) == ("ann", True)
    assert bob["username"] == "bob"
    assert group["name"] == "Writers"
    # Mail goes to the worker's console, as it says.
    assert "To: bob@example.org" not in (tmp_path / "log").read_text()
    assert "To: bob@example.org" in manage(environment, "jobs_worker", "--once")
    said = run(environment, block("docs/application/accounts.md", "sh", 5))
    assert said.startswith(f"Erased user {bob['id']}, 0 objects")


@pytest.mark.parametrize("word", ["W005", "W021"])
def test_the_checks_that_are_off_are_named(word: str) -> None:
    from django.conf import settings

    off = {check.rpartition(".")[2] for check in settings.SILENCED_SYSTEM_CHECKS}
    assert off == {"W005", "W021"}
    assert word in (EXAMPLE.parent / PAGE).read_text("utf-8")
