"""manage.py storage_orphans: files that nothing names, and names without a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from tahoestorage.care import orphans
from tests.support.moves import Add, contents, fill
from tests.support.orphans import found, run
from tests.support.papers.models import Paper, Signed

pytestmark = pytest.mark.django_db
KINDS = ["disk", "grid", "s3"]
DAY = 86400


@pytest.mark.parametrize("kind", KINDS)
def test_orphans_and_missing_files_are_named(
    kind: str, make: Add, later: Callable[[float], None]
) -> None:
    fill(make("default", kind), {"d/a": b"1", "d/b": b"22", "c": b"333", "über": b"4"})
    Paper.objects.create(file="d/a")
    Paper.objects.create(file="d/gone", is_deleted=True)
    Paper.objects.create(file="")
    Signed.objects.create(file="./c", signature="u\N{COMBINING DIAERESIS}ber")
    Signed.objects.create(file="c", signature=None)
    if kind == "disk":
        # There, they are two names.
        Paper.objects.create(file="über")

    # A save may still be under way.
    young = found()
    later(2 * DAY)
    old = found()

    assert (young["orphans"], young["young"]) == (0, 1)
    assert (old["files"], old["orphans"], old["orphan_bytes"]) == (4, 1, 2)
    assert old["orphan_names"] == ["d/b"]
    missing = {each["name"]: each["by"] for each in old["missing_names"]}
    assert missing.pop("d/gone") == "papers.Paper.file"
    assert len(missing) == (kind == "disk")
    text = run()
    assert text.status == 1
    assert "orphan: 'd/b'" in text.out
    assert "missing: 'd/gone', named by papers.Paper.file" in text.out


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_a_report_has_and_is_still_an_orphan_is_deleted(
    kind: str, make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    storage = make("default", kind)
    fill(storage, {"kept": b"1", "d/a": b"2", "d/b": b"3", "d/named": b"4"})
    Paper.objects.create(file="kept")
    report = tmp_path / "report"
    later(2 * DAY)

    assert run("--report", str(report)).status == 1
    assert report.stat().st_mode & 0o777 == 0o600
    Paper.objects.create(file="d/named")
    fill(storage, {"d/new": b"5"})
    done = run("--delete", str(report), "--json")

    assert contents(storage) == {"kept": b"1", "d/named": b"4", "d/new": b"5"}
    assert (done.json["deleted"], done.json["kept"]) == (2, 1)
    assert done.status == 1
    Paper.objects.create(file="d/new")
    again = run("--delete", str(report), "--json")
    assert (again.status, again.json["deleted"]) == (0, 0)


def test_a_day_without_a_report_deletes_nothing(
    make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    storage = make("default", "disk")
    fill(storage, {"a": b"1", "b": b"2"})
    Paper.objects.create(file="b")
    report = tmp_path / "report"
    later(2 * DAY)
    run("--report", str(report))

    later(3 * DAY + 1)
    late = run("--delete", str(report))
    later(2 * DAY)
    make("other", "disk")
    other = run("other", "--delete", str(report))
    whole = report.read_text()
    report.write_text(whole[:-3])
    cut = run("--delete", str(report))
    report.write_text("no report")
    wrong = run("--delete", str(report))
    none = run("--delete", str(tmp_path / "none"))

    assert [each.status for each in (late, other, cut, wrong, none)] == [3] * 5
    assert "older than a day" in late.err
    assert "of another store" in other.err or "names no file" in other.err
    assert "no name" in cut.err
    assert "no report" in wrong.err
    report.write_text(whole)
    Paper.objects.all().delete()
    empty = run("--delete", str(report))
    assert "Is it the right one?" in empty.err
    assert contents(storage) == {"a": b"1", "b": b"2"}


def test_what_changes_at_the_last_moment_stays(
    make: Add,
    later: Callable[[float], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage: Any = make("default", "disk")
    fill(storage, {"kept": b"", "a": b"1", "b": b"2"})
    Paper.objects.create(file="kept")
    report = tmp_path / "report"
    later(2 * DAY)
    run("--report", str(report))
    delete = FileSystemStorage.delete

    def slow(self: FileSystemStorage, name: str) -> None:
        delete(self, name)
        # Meanwhile somebody overwrites the other one.
        Path(storage.path("b")).write_bytes(b"new")

    monkeypatch.setattr(FileSystemStorage, "delete", slow)

    done = found("--delete", str(report))

    assert (done["deleted"], done["kept"]) == (1, 1)
    assert contents(storage) == {"kept": b"", "b": b"new"}


def test_names_are_read_again_on_a_long_way(
    make: Add,
    later: Callable[[float], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage: Any = make("default", "disk")
    fill(storage, {"kept": b"", "a": b"1", "b": b"2"})
    Paper.objects.create(file="kept")
    later(2 * DAY)
    run("--report", str(tmp_path / "report"))
    delete = FileSystemStorage.delete

    def slow(self: FileSystemStorage, name: str) -> None:
        delete(self, name)
        Paper.objects.create(file="b")

    monkeypatch.setattr(FileSystemStorage, "delete", slow)
    monkeypatch.setattr(orphans, "READ_AGAIN", 1)

    assert found("--delete", str(tmp_path / "report"))["deleted"] == 1
    assert sorted(contents(storage)) == ["b", "kept"]


def test_a_part_that_cant_be_listed_is_said(
    make: Add,
    later: Callable[[float], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(make("default", "disk"), {"d/a": b"1", "e/b": b"2"})
    for name in ("d/a", "gone"):
        Paper.objects.create(file=name)
    listdir = FileSystemStorage.listdir

    def failing(self: FileSystemStorage, path: str) -> Any:
        if path == "d":
            raise PermissionError(13, "Permission denied")
        return listdir(self, path)

    monkeypatch.setattr(FileSystemStorage, "listdir", failing)
    later(2 * DAY)
    made = run("--json", "--report", str(tmp_path / "report"))

    assert made.status == 3
    assert not (tmp_path / "report").exists()
    assert made.json["failures"] == [{"name": "d/", "reason": "Permission denied"}]
    # What can't be listed is not said to be missing.
    assert [each["name"] for each in made.json["missing_names"]] == ["gone"]


def test_wrong_arguments_and_ctrl_c(make: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    make("default", "disk")
    assert run().status == 0
    assert run("none").status == 2
    assert "less than a day" in run("--older-than", "23h").err
    assert run("--report", "a", "--delete", "b").status == 2

    def interrupted(*arguments: object) -> Iterator[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(orphans, "named_files", interrupted)
    made = run("--json")
    assert (made.status, made.json["status"]) == (130, "interrupted")


def test_a_full_disk_is_said(make: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(make("default", "disk"), {"a": b"1"})

    def full(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("tahoestorage.care.orphantable.OrphanTable.add_files", full)
    made = run("--json")
    assert made.status == 3
    assert "full" in json.loads(made.out)["error"]
