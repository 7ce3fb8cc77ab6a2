"""Other people's scripts in the pages are what they were when they were reviewed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages import vendor
from pages.vendor import PACKAGES, VENDOR, Package


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_each_file_has_the_hash_that_was_reviewed(package: Package) -> None:
    for path, sha256 in package.files.items():
        content = (package.folder / Path(path).name).read_bytes()
        assert vendor.digest(content) == sha256


def test_nothing_else_is_there() -> None:
    there = {path for path in VENDOR.rglob("*") if path.is_file()}
    known = {one.folder / Path(path).name for one in PACKAGES for path in one.files}

    assert there == known | {VENDOR / "THIRD-PARTY-NOTICES.md"}


def test_the_notices_name_each_with_its_licence() -> None:
    assert (VENDOR / "THIRD-PARTY-NOTICES.md").read_text("utf-8") == vendor.notices()
    for package in PACKAGES:
        assert package.license in {"0BSD", "MIT"}


def test_another_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "npm").write_text("#!/bin/sh\necho other > a.tgz\necho a.tgz\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(ValueError, match="not sha512-"):
        vendor.fetch(PACKAGES[0], tmp_path)
