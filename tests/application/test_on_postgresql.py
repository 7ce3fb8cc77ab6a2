"""What the application's tests say of SQLite holds on a real PostgreSQL as well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.application.postgres import TABLES, Postgres
from tests.application.site import ROOT

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "at_least",
    [
        # How many of each file. A process takes seconds before its first test.
        {"test_exports.py": 39, "test_import_again.py": 11, "test_turns.py": 13},
        {
            "test_erasure.py": 14,
            "test_thumbnails.py": 9,
            "test_folders.py": 9,
            "test_paths.py": 14,
            "test_sweep.py": 10,
            "test_sweep_stores.py": 10,
            "test_ended_uploads.py": 6,
            "test_ended_meanwhile.py": 12,
            "test_tenant_move.py": 10,
        },
        {
            "test_prepared.py": 6,
            "test_paging.py": 35,
            "test_tus.py": 60,
            "test_idempotency.py": 34,
            "test_matrix.py": 100,
        },
    ],
    ids=["exports", "objects", "api"],
)
def test_the_same_holds_there(postgres: Postgres, at_least: dict[str, int]) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rp"),
            *(str(HERE / one) for one in at_least),
            *("--ds", "tests.application.settings"),
            *("--override-ini", "pythonpath=example"),
            *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"),
            # The other stores have the same rows. And what is no test's own transaction
            # is flushed, which the audit refuses here.
            *("-k", "not grid and not s3 and not lease_is"),
        ],
        cwd=ROOT,
        env=os.environ
        | {"DATABASE_URL": postgres.url("rows"), "DATABASE_TEMPLATE": TABLES},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    passed = Counter(re.findall(r"^PASSED .*/(test_\w+\.py)::", done.stdout, re.M))
    too_few = {file for file, number in at_least.items() if passed[file] < number}
    assert not too_few, passed
    assert "skipped" not in done.stdout
