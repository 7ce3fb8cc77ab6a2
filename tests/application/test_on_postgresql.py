"""What the application's tests say of SQLite holds on a real PostgreSQL as well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.application.postgres import Postgres
from tests.application.site import ROOT

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("tests", "at_least"),
    [
        # Of those in one process the tables are made once.
        ("test_erasure.py test_thumbnails.py", 20),
        ("test_exports.py", 39),
        ("test_folders.py test_paths.py", 23),
        ("test_import_again.py", 11),
        ("test_sweep.py", 10),
        ("test_tenant_move.py", 10),
        ("test_turns.py", 13),
    ],
)
def test_the_same_holds_there(postgres: Postgres, tests: str, at_least: int) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q"),
            *(str(HERE / one) for one in tests.split()),
            *("--ds", "tests.application.settings"),
            *("--override-ini", "pythonpath=example"),
            *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"),
            # The other stores have the same rows.
            *("-k", "not grid and not s3"),
        ],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": postgres.url("rows")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= at_least
    assert "skipped" not in done.stdout
