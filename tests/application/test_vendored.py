"""Other people's scripts in the pages are what they were when they were reviewed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages import vendor
from pages.vendor import PACKAGES, VENDOR, Package

# What Browserify writes behind each module: which names in it are which modules.
MODULES = re.compile(r"\},\{([^{}()]*)\}\](?=,\d+:\[|\},\{\},\[)")


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
        assert package.license in {"0BSD", "BSD-3-Clause", "MIT"}


def test_the_notices_name_each_package_that_a_script_contains() -> None:
    script = (VENDOR / "tus-js-client" / "tus.min.js").read_text("utf-8")
    names = re.findall(r'"?([\w./-]+)"?:\d+', ",".join(MODULES.findall(script)))
    inside = {name for name in names if not name.startswith(".")}

    assert {"buffer", "js-base64", "requires-port", "url-parse"} <= inside
    known = {one.name for one in PACKAGES if one.within == "tus-js-client"}
    # Without names of their own there: what joins the modules, and a helper.
    assert known - inside == {"browser-pack", "regenerator-runtime"}
    assert inside <= known


def test_another_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "npm").write_text("#!/bin/sh\necho other > a.tgz\necho a.tgz\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(ValueError, match="not sha512-"):
        vendor.fetch(PACKAGES[0], tmp_path)
