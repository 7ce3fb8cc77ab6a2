"""The tour of the API in the docs, run as it stands there."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.application.site import run_commands
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
    # What the tour leaves behind is in a folder of the test's.
    output = run_commands(TOUR, tmp_path)

    assert output.split("\n") == [
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
