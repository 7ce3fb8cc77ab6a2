"""``manage.py storage_directories``: directories that have grown too large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from pytest_django.fixtures import Settings

from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.support import commands
from tests.support.s3_servers import S3Server

NAMES = ("a/1", "a/2", "a/3", "a/deep/1", "b/1", "b/2")


def run(*arguments: str) -> commands.Made:
    return commands.run("storage_directories", *arguments)


@pytest.fixture(params=["grid", "s3", "folder"])
def filled(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> dict[str, Any]:
    """The entry of a storage with some files."""
    if request.param == "grid":
        grid: LocalGrid = request.getfixturevalue("tahoe_grid")
        root: Cap = request.getfixturevalue("root")
        options: dict[str, Any] = {"base_url": grid.base_url, "base_cap": root.uri}
        backend = "tahoestorage.storage.TahoeStorage"
    elif request.param == "s3":
        weed: S3Server = request.getfixturevalue("weed")
        options = {**weed.options, "bucket_name": weed.make_bucket(), "cache": False}
        backend = "tahoestorage.backends.s3.S3Storage"
    else:
        options = {"location": str(tmp_path / "files")}
        backend = "django.core.files.storage.FileSystemStorage"
    entry = {"BACKEND": backend, "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    for name in NAMES:
        storages["default"].save(name, ContentFile(b"x"))
    return entry


@pytest.mark.usefixtures("filled")
def test_directories_with_more_names_are_listed_the_largest_first() -> None:
    made = run("--more-than", "1", "--json")

    assert made.status == 1
    assert made.json == {
        "looked_at": 4,
        "more_than": 1,
        "large": [
            {"directory": "a", "names": 4},
            {"directory": "", "names": 2},
            {"directory": "b", "names": 2},
        ],
    }
    assert "3 of 4 directories have more than 1 names" in made.err
    people = run("--more-than", "3")
    assert people.out.split() == ["4", "'a'"]


@pytest.mark.usefixtures("filled")
def test_where_none_is_large_it_says_so() -> None:
    made = run()

    assert made.status == 0
    assert made.out == "None of 4 directories has more than 2,000 names.\n"


def test_what_is_wrong_is_said(settings: Settings) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "bare": {"BACKEND": "django.core.files.storage.Storage"},
    }

    assert run("no-such").status == 2
    made = run("bare")
    assert made.status == 2
    assert "no directories that can be listed" in made.err
