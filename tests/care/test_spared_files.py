"""manage.py storage_orphans: files that nobody can be sure of are spared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import Storage
from pytest_django.fixtures import Settings

from tahoestorage import filenames
from tahoestorage.config.settings import backends
from tahoestorage.filenames import names_files
from tests.support import commands
from tests.support.commands import Made
from tests.support.moves import Add, contents, fill
from tests.support.papers.models import Elsewhere, Paper, Unmanaged
from tests.support.proxy import ChangeBody, Proxy
from tests.support.s3_servers import S3Server

pytestmark = pytest.mark.django_db
DAY = 86400


class Foreign(Storage):
    """A storage of another package: nobody knows where it keeps files."""


def run(*arguments: str) -> Made:
    return commands.run("storage_orphans", *arguments)


def found(*arguments: str) -> dict[str, Any]:
    return run(*arguments, "--json").json


def orphans(*arguments: str) -> list[str]:
    names: list[str] = found(*arguments)["orphan_names"]
    return names


@pytest.mark.parametrize("kind", ["disk", "grid", "s3"])
def test_names_of_a_foreign_storage_spare_files_at_any_location(
    kind: str,
    make: Add,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"private/x.pdf": b"1", "y/b.pdf": b"2", "old.pdf": b"3", "x.pdf.old": b"4"}
    fill(make("default", kind), files)
    field: Any = Elsewhere._meta.get_field("file")
    monkeypatch.setattr(field, "storage", Foreign())
    # Its location may be below ours, or ours below its own.
    for name in ("x.pdf", "media/y/b.pdf", "/media/old.pdf"):
        Elsewhere.objects.create(file=name)
    later(2 * DAY)

    assert orphans() == ["x.pdf.old"]


def test_names_of_a_foreign_storage_do_not_tell_that_the_database_is_the_right_one(
    make: Add,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    storage = make("default", "grid")
    fill(storage, {"a": b"1"})
    # Both are of one table.
    fields: Any = [m._meta.get_field("file") for m in (Elsewhere, Unmanaged)]
    for field in fields:
        monkeypatch.setattr(field, "storage", Foreign())
    Elsewhere.objects.create(file="of-another-storage")
    later(2 * DAY)

    reported = run("--report", str(tmp_path / "report"), "--json")
    made = run("--delete", str(tmp_path / "report"))

    assert reported.json["named"] == 0
    assert made.status == 3
    assert "the database names no file of this store at all" in made.err
    assert contents(storage) == {"a": b"1"}


def test_a_name_in_another_case_spares_a_file_on_a_disk(
    make: Add, later: Callable[[float], None]
) -> None:
    """A disk that tells no cases apart has one file by both."""
    fill(make("default", "disk"), {"photos/x": b"1", "x": b"2"})
    Paper.objects.create(file="Photos/X")
    later(2 * DAY)

    assert orphans() == ["x"]


def test_one_bucket_by_two_endpoints_is_one_bucket(
    make: Add, later: Callable[[float], None]
) -> None:
    fill(make("default", "s3"), {"a": b"1", "b": b"2"})
    options = dict(backends()["default"]["OPTIONS"])
    options["endpoint_url"] = options["endpoint_url"].replace("127.0.0.1", "localhost")
    make("public", "s3", **options)
    Paper.objects.create(file="a")
    later(2 * DAY)

    assert orphans("public") == ["b"]


def test_below_another_root_on_a_grid_nothing_is_deleted(
    make: Add, later: Callable[[float], None], tmp_path: Path
) -> None:
    outer: Any = make("default", "grid")
    fill(outer, {"below/old": b"1", "below/kept": b"2"})
    cap = outer.directories.fetch(("below",)).directory.best.uri
    options = backends()["default"]["OPTIONS"]
    inner = make("inner", "grid", **{**options, "base_cap": cap})
    Paper.objects.create(file="below/old")
    field: Any = Elsewhere._meta.get_field("file")
    before, field.storage = field.storage, inner
    try:
        Elsewhere.objects.create(file="kept")
        later(2 * DAY)
        run("inner", "--report", str(tmp_path / "report"))
        made = run("inner", "--delete", str(tmp_path / "report"))
    finally:
        field.storage = before

    assert made.status == 3
    assert "names of that storage may lead here" in made.err
    assert contents(inner) == {"old": b"1", "kept": b"2"}


def test_a_file_that_was_moved_here_today_is_young(make: Add) -> None:
    storage: Any = make("default", "disk")
    fill(storage, {"a": b"1"})
    os.utime(storage.path("a"), (1e9, 1e9))

    assert run("--json").json["young"] == 1


def test_a_report_replaces_no_other_file(make: Add, tmp_path: Path) -> None:
    make("default", "disk")
    other = tmp_path / "db.sqlite3"
    other.write_text("of value")

    made = run("--report", str(other))

    assert made.status == 3
    assert "no report of this command" in made.err
    assert other.read_text() == "of value"
    report = str(tmp_path / "report")
    assert [run("--report", report).status, run("--report", report).status] == [0, 0]


def test_a_storage_that_only_this_process_cant_make_stops_it(
    make: Add, settings: Settings
) -> None:
    fill(make("default", "disk"), {"a": b"1"})
    secret = {"BACKEND": "tahoestorage.storage.TahoeStorage"}
    options = {"base_cap_file": "/none/root.cap", "base_url": "http://127.0.0.1:9"}
    settings.STORAGES = {**backends(), "private": {**secret, "OPTIONS": options}}

    made = run()

    assert made.status == 3
    assert "The storage private can't be made here" in made.err


def test_a_function_may_say_that_all_is_named(
    make: Add, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filenames, "_functions", [])
    names_files()(lambda alias: ["/"])
    for kind in ("disk", "grid", "s3"):
        fill(make(kind, kind), {"d/a": b"1"})
    later(2 * DAY)

    assert [orphans(kind) for kind in ("disk", "grid", "s3")] == [[], [], []]


def test_of_a_store_that_lists_milliseconds_orphans_are_deleted_unless_overwritten(
    make: Add, later: Callable[[float], None], moto: S3Server, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    with Proxy(moto.endpoint_url) as proxy:
        storage: Any = make("default", "s3", endpoint_url=proxy.url)
        fill(storage, {"kept": b"1", "orphan": b"2", "overwritten": b"3"})
        Paper.objects.create(file="kept")

        def more_exact(body: bytes) -> bytes:
            # As of MinIO and Garage; requests for single files have whole seconds.
            assert b".000Z</LastModified>" in body
            return body.replace(b".000Z</LastModified>", b".637Z</LastModified>")

        def overwrite(body: bytes) -> bytes:
            with storage.open("overwritten", "wb") as file:
                file.write(b"4")
            return body

        proxy.rule(
            lambda seen: "list-type=2" in seen.target, ChangeBody(more_exact), None
        )
        proxy.rule(lambda seen: seen.method == "DELETE", ChangeBody(overwrite))
        later(2 * DAY)
        run("--report", str(report))

        done = found("--delete", str(report))

        proxy.clear()
        assert (done["orphans"], done["deleted"], done["kept"]) == (2, 1, 1)
        assert contents(storage) == {"kept": b"1", "overwritten": b"4"}
