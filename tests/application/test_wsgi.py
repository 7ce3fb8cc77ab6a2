"""A process that serves the site: what it has done before the first request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.application.site import EXAMPLE, bare_environment

_PROBE = """
import sys
import config.wsgi
print("boto3" in sys.modules)
"""


def test_what_the_store_needs_is_imported_before_the_first_request(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        cwd=EXAMPLE,
        env=bare_environment(tmp_path) | {"STORAGE_URL": "s3://bucket"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "True\n"
