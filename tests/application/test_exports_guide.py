"""The guide to exports: what it tells to run is run, one after the other."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.application.site import run_commands
from tests.support.documents import block

GUIDE = (
    block("docs/application/api.md", "sh", 1),
    block("docs/application/api.md", "sh", 2),
    block("docs/application/exports.md", "sh", 1),
    block("docs/application/exports.md", "sh", 2),
    block("docs/application/exports.md", "sh", 3),
    block("docs/application/exports.md", "sh", 4),
)


def test_every_command_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    output = run_commands(GUIDE, tmp_path)

    assert output.splitlines() == [
        "Made ann, administrator of Acme.",
        "ready",
        "0 exports would go, 0 bytes.",
        "0 exports are deleted, 0 bytes.",
        "0 exports would go, 0 bytes.",
        '{"exports": 0, "bytes": 0, "tidied": 0, "left": 0}',
        "1",
    ]
    with zipfile.ZipFile(tmp_path / "talks.zip") as zipped:
        assert "files/2026/slides.pdf" in zipped.namelist()
