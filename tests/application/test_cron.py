"""Commands as cron runs them: what they print is mailed to somebody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.application.site import EXAMPLE, bare_environment, make_tables
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server


def test_a_command_on_s3_says_nothing_of_the_keys_it_found(
    weed: S3Server, tmp_path: Path
) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[default]\naws_access_key_id={ACCESS_KEY}\n"
        f"aws_secret_access_key={SECRET_KEY}\n"
    )
    environment = bare_environment(tmp_path) | {
        "AWS_SHARED_CREDENTIALS_FILE": str(keys),
        "STORAGE_URL": f"s3://{weed.make_bucket()}/?region_name=us-east-1"
        f"&endpoint_url={weed.endpoint_url}&addressing_style=path",
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.pop(name, None)
    make_tables(environment)

    done = subprocess.run(
        [sys.executable, "manage.py", "objects_sweep"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
