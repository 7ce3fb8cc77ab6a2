"""``manage.py storage_directories``: directories that have grown too large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from pytest_django.fixtures import Settings

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
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


def test_a_directory_that_is_in_itself_is_looked_at_once(
    settings: Settings, tahoe_grid: LocalGrid, root: Cap, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    (folder / "a").mkdir(parents=True)
    (folder / "a/again").symlink_to(folder / "a")
    disk = "django.core.files.storage.FileSystemStorage"
    given: dict[str, Any] = {"base_url": tahoe_grid.base_url, "base_cap": root.uri}
    given["cache"] = False
    storage = TahoeStorage(**given)
    settings.STORAGES = {
        **settings.STORAGES,
        "grid": {"BACKEND": "tahoestorage.storage.TahoeStorage", "OPTIONS": given},
        "disk": {"BACKEND": disk, "OPTIONS": {"location": str(folder)}},
    }
    storage.save("a/1", ContentFile(b"x"))
    child = storage.directories.fetch((), "a").child
    assert child is not None
    assert child.write_reference is not None
    above = Cap.parse(child.write_reference)
    # Nobody can ask for the last three of these.
    links = dict.fromkeys(["again", "..", "", "b/c"], Link(above))
    storage.directories.gateway.set_children(above, links, label="a")

    on_grid = run("grid", "--more-than", "0", "--json")
    on_disk = run("disk", "--more-than", "0", "--json")

    assert [each.json["looked_at"] for each in (on_grid, on_disk)] == [2, 2]
    assert on_grid.json["large"][0] == {"directory": "a", "names": 5}
    assert on_disk.json["large"][1] == {"directory": "a", "names": 1}


def test_what_is_wrong_is_said(settings: Settings) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "bare": {"BACKEND": "django.core.files.storage.Storage"},
    }

    assert run("no-such").status == 2
    made = run("bare")
    assert made.status == 2
    assert "no directories that can be listed" in made.err
