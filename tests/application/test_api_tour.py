"""The tour of the API in the docs, run as it stands there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.application.site import EXAMPLE, bare_environment, manage, served
from tests.support.documents import block

TOUR = (
    block("docs/application/api.md", "sh", 1),
    block("docs/application/api.md", "sh", 2),
    block("docs/application/api.md", "sh", 3),
    block("docs/application/api.md", "sh", 4),
    block("docs/application/api.md", "sh", 5),
    block("docs/application/api.md", "sh", 6),
    block("docs/application/api.md", "sh", 7),
)


def test_every_command_of_the_tour_does_what_it_says(tmp_path: Path) -> None:
    for program in ("curl", "jq"):
        assert shutil.which(program), f"apt-get install {program}"
    environment = bare_environment(tmp_path)
    programs = os.path.dirname(sys.executable)
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    manage(environment, "migrate", "--verbosity=0")
    script = "\n".join(TOUR)
    assert script.count("http://127.0.0.1:8000") == 1
    # What the tour leaves behind is in a folder of the test's.
    script = script.replace("python manage.py", f"python {EXAMPLE}/manage.py")
    with served(environment, tmp_path / "site.log") as site:
        done = subprocess.run(
            ["sh", "-euc", script.replace("http://127.0.0.1:8000", site.address)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n") == [
        "Made ann, administrator of Acme.",
        '"slides.pdf"',
        "2",
        "2",
        "412",
        '"Precondition Failed"',
        "[2,11]",
        "[1,100000]",
        "3",
        "last.pdf",
        "deleted",
        "stored",
        "1",
        "",
    ]
    assert (tmp_path / "first.bytes").stat().st_size == 100
