"""manage.py storage_orphans: whose a file is, by other storages, links, and hooks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage import filenames
from tahoestorage.config.settings import backends
from tahoestorage.filenames import names_files
from tahoestorage.tahoe.children import Link
from tests.support.links import link
from tests.support.moves import Add, fill
from tests.support.orphans import found, run
from tests.support.papers.models import Elsewhere, OldName, Paper, Unmanaged

pytestmark = pytest.mark.django_db
KINDS = ["disk", "grid", "s3"]
DAY = 86400


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filenames, "_functions", [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_on_another_storage_counts_for_that_alone(
    kind: str,
    make: Add,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields: Any = [m._meta.get_field("file") for m in (Elsewhere, Unmanaged)]
    here, there = make("default", kind), make("other", kind)
    for each in (here, there):
        fill(each, {"a": b"1"})
    Elsewhere.objects.create(file="a")
    Paper.objects.create(file="a")
    later(2 * DAY)

    for field in fields:
        monkeypatch.setattr(field, "storage", there)
    Paper.objects.all().delete()
    assert found()["orphan_names"] == ["a"]
    assert found("other")["orphan_names"] == []
    # Another object of the very same store, as a callable makes one.
    options = backends()["default"]["OPTIONS"]
    for field in fields:
        monkeypatch.setattr(field, "storage", type(here)(**options))
    assert found()["orphan_names"] == []
    assert found("other")["orphan_names"] == ["a"]


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_what_is_below_another_storage_is_left_to_that(
    kind: str, make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    fill(make("default", kind), {"a": b"1", "static/x": b"2", "private/a": b"3"})
    options = dict(backends()["default"]["OPTIONS"])
    below = {"location": "static"}
    if kind == "disk":
        below = {"location": str(tmp_path / "default" / "static")}
    make("static", kind, **{**options, **below})
    later(2 * DAY)

    outer, inner = found(), found("static")

    assert (outer["orphan_names"], outer["foreign"]) == (["a", "private/a"], 1)
    assert inner["orphan_names"] == ["x"]
    # And the outer one's names count for it.
    Paper.objects.create(file="static/x")
    Paper.objects.create(file="a")
    assert found("static")["orphan_names"] == []
    assert found("static")["missing"] == found()["missing"] == 0


def test_another_root_in_a_grid_s_directory_is_left_to_that(
    make: Add, later: Callable[[float], None]
) -> None:
    outer: Any = make("default", "grid")
    fill(outer, {"a": b"1", "below/b": b"2"})
    response = outer.directories.fetch(("below",))
    cap = response.directory.read.uri
    options = backends()["default"]["OPTIONS"]
    make("inner", "grid", **{**options, "base_cap": cap})
    later(2 * DAY)

    assert found()["orphan_names"] == ["a"]
    assert found("inner")["orphan_names"] == ["b"]
    Paper.objects.create(file="below/b")
    assert found()["missing"] == 0


def test_a_directory_with_two_paths_on_a_grid_stops_deletions(
    make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    storage: Any = make("default", "grid")
    fill(storage, {"a/x": b"1", "kept": b"2"})
    Paper.objects.create(file="b/x")
    directory = storage.directories.fetch(("a",)).directory
    root = storage.directories.root.write
    gateway = storage.directories.gateway
    gateway.set_children(root, {"b": Link(directory.read)}, replace=False, label="b")
    later(2 * DAY)

    made = run("--report", str(tmp_path / "report"))

    assert made.status == 3
    assert "by another path" in made.out
    assert not (tmp_path / "report").exists()
    assert found()["missing"] == 0


def test_links_on_a_disk_lead_to_one_file(
    make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    storage: Any = make("default", "disk")
    fill(storage, {"2026/a": b"1", "2026/b": b"2", "c": b"3"})
    media = Path(storage.location)
    (media / "now").symlink_to(media / "2026")
    (media / "again").symlink_to(media)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"4")
    (media / "out").symlink_to(tmp_path / "outside")
    (media / "linked").symlink_to(media / "c")
    Paper.objects.create(file="now/a")
    Paper.objects.create(file="linked")
    Paper.objects.create(file="out/x")
    later(2 * DAY)

    made = found()

    assert made["orphan_names"] == ["2026/b"]
    assert (made["missing"], made["failed"], made["foreign"]) == (0, 0, 1)


@pytest.mark.usefixtures("functions")
def test_functions_add_names(
    make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    fill(make("default", "disk"), {"h/a": b"1", "up/b/c": b"2", "d": b"3", "up.": b""})
    make("other", "disk")
    OldName.objects.create(text="h/a")
    OldName.objects.create(text="h/gone")
    asked = []

    @names_files()
    def history(alias: str) -> Iterator[str]:
        asked.append(alias)
        yield from OldName.objects.values_list("text", flat=True)

    @names_files(required=False)
    def uploads(alias: str) -> list[str]:
        return ["up/", "perhaps"]

    later(2 * DAY)
    made = found()

    assert made["orphan_names"] == ["d", "up."]
    assert [each["name"] for each in made["missing_names"]] == ["h/gone"]
    assert "default" in asked

    @names_files()
    def failing(alias: str) -> list[str]:
        raise LookupError("no")

    made_not = run("--report", str(tmp_path / "report"))
    assert made_not.status == 3
    assert "What names files could not be read: LookupError no" in made_not.err
    assert not (tmp_path / "report").exists()


def test_hostile_and_hidden_names_are_no_harm(
    make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    storage: Any = make("default", "disk")
    hostile = {"a\nb": b"1", "\x1b[31m": b"2", "URI:CHK:" + "a" * 26 + ":b:1:1:9": b"3"}
    for name, content in hostile.items():
        (Path(storage.location) / name).write_bytes(content)
    (Path(os.fsdecode(os.fsencode(storage.location) + b"/\xff"))).write_bytes(b"4")
    (Path(storage.location) / f".{'0' * 32}.storage_copy").write_bytes(b"5")
    Paper.objects.create(file="../../etc/passwd")
    Paper.objects.create(file="a\nb")
    later(2 * DAY)
    report = tmp_path / "report"

    text = run("--report", str(report))
    deleted = found("--delete", str(report))

    assert "\x1b" not in text.out
    assert "missing: '../../etc/passwd'" in text.out
    assert deleted["deleted"] == 3
    left = sorted(each.name for each in Path(storage.location).iterdir())
    assert left == [f".{'0' * 32}.storage_copy", "a\nb"]


def test_what_a_grid_and_s3_hide_is_no_orphan(
    make: Add, later: Callable[[float], None]
) -> None:
    fill(make("default", "grid"), {"d/a": b"1"})
    s3: Any = make("s3", "s3")
    fill(s3, {"d/a": b"1"})
    s3.put_object("d/", ContentFile(b""), "d/", replace=False)
    s3.put_object("d//b", ContentFile(b"2"), "d//b", replace=False)
    later(2 * DAY)

    assert found()["orphan_names"] == ["d/a"]
    made = found("s3")
    assert (made["orphan_names"], made["odd"]) == (["d/a"], 1)


def test_a_mutable_file_has_no_age(make: Add, later: Callable[[float], None]) -> None:
    storage: Any = make("default", "grid")
    fill(storage, {"d/a": b"1"})
    url = f"{storage.options.base_url}/uri?format=SDMF"
    cap = requests.put(url, data=b"changing", timeout=30).text
    link(storage, {"mutable": ["filenode", {"rw_uri": cap}]})
    later(2 * DAY)

    made = run()

    assert made.status == 1
    assert "unknown age, never deleted: 'mutable'" in made.out
