"""Names that spread files over directories."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from django.db.migrations.writer import MigrationWriter
from django.db.models import FileField

from tahoestorage.naming import HashedPath, hashed_directory
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid


def occupancy(names: list[str]) -> Counter[str]:
    """Return how many names, of files and of directories, each directory has."""
    found = set(names)
    for name in names:
        while "/" in name:
            name = name.rpartition("/")[0]
            found.add(name)
    return Counter(name.rpartition("/")[0] for name in found)


@pytest.mark.parametrize("files", [300, 1_000, 100_000, 500_000])
def test_directories_are_neither_full_nor_many(files: int) -> None:
    names = [
        f"{hashed_directory(key, files)}/{key}".lstrip("/")
        for key in (uuid.uuid4().hex for _ in range(files))
    ]

    counts = occupancy(names)

    assert max(counts.values()) <= 512
    assert len(counts) <= max(1, files / 64)


def test_one_name_in_every_row_is_spread_as_well() -> None:
    upload_to = HashedPath("photos")
    rows = [SimpleNamespace(pk=number) for number in range(50_000)]
    rows += [SimpleNamespace(pk=None) for number in range(50_000)]

    counts = Counter(upload_to(row, "image.jpg") for row in rows)

    assert len(counts) == 256
    assert max(counts.values()) <= 512


def test_where_a_file_goes_is_the_same_in_every_release() -> None:
    row = SimpleNamespace(pk=7)

    assert HashedPath("a/b")(row, "c.txt") == "a/b/b4/c.txt"
    assert HashedPath(files=100)(row, "c.txt") == "c.txt"
    assert HashedPath(files=3_000_000)(row, "c.txt") == "5a/17/c.txt"
    assert hashed_directory("a key") == "8f"


def test_keys_of_an_object_store_begin_with_the_hash_if_told() -> None:
    first = HashedPath("a/b", hash_first=True)

    names = [first(SimpleNamespace(pk=n), "c.txt") for n in range(50_000)]

    assert names[7] == "b4/a/b/c.txt"
    assert all(name.endswith("/a/b/c.txt") for name in names)
    # Half of the files that are expected: each beginning has its share of them.
    begun = Counter(name.partition("/")[0] for name in names)
    assert len(begun) == 256
    assert max(begun.values()) <= 256
    few = HashedPath("a", files=100, hash_first=True)
    assert few(SimpleNamespace(pk=7), "c.txt") == "a/c.txt"


def test_migrations_write_the_order_only_where_it_was_given() -> None:
    usual, first = HashedPath("photos"), HashedPath("photos", hash_first=True)

    assert len({usual, first, HashedPath("photos", hash_first=True)}) == 2
    written = "tahoestorage.naming.HashedPath('photos')"
    assert MigrationWriter.serialize(usual)[0] == written
    written = "tahoestorage.naming.HashedPath('photos', hash_first=True)"
    assert MigrationWriter.serialize(first)[0] == written


def test_migrations_write_it_as_it_was_made() -> None:
    field = FileField(upload_to=HashedPath("photos", files=5_000))

    written, imports = MigrationWriter.serialize(field)

    expected = "tahoestorage.naming.HashedPath('photos', files=5000)"
    assert f"upload_to={expected}" in written
    assert "import tahoestorage.naming" in imports
    space: dict[str, object] = {}
    exec("\n".join([*imports, f"made = {expected}"]), space)  # noqa: S102
    assert space["made"] == field.upload_to
    assert field.upload_to != HashedPath("photos")
    assert len({HashedPath("a"), HashedPath("/a/"), HashedPath("b")}) == 2


@pytest.mark.parametrize("prefix", ["../up", "a/../b"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(SuspiciousFileOperation):
        HashedPath(prefix)


def test_no_number_of_files_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        HashedPath(files=0)


@pytest.mark.parametrize("kind", ["files", "grid"])
def test_a_field_keeps_the_file_s_own_name(
    kind: str, tmp_path: Path, tahoe_grid: LocalGrid
) -> None:
    storage: Storage = FileSystemStorage(tmp_path)
    if kind == "grid":
        root = tahoe_grid.create_root().uri
        storage = TahoeStorage(base_url=tahoe_grid.base_url, base_cap=root)
    field = FileField(upload_to=HashedPath("photos"), storage=storage)

    row: Any = SimpleNamespace(pk=7)

    names = [
        storage.save(
            field.generate_filename(row, "Übersicht 1.pdf"), ContentFile(content)
        )
        for content in (b"one", b"two")
    ]

    assert names[0] == "photos/{}/Übersicht_1.pdf".format(names[0].split("/")[1])
    assert names[1].startswith("photos/")
    assert names[1].rpartition("/")[2].startswith("Übersicht_1")
    for name, content in zip(names, (b"one", b"two"), strict=True):
        with storage.open(name) as file:
            assert file.read() == content
