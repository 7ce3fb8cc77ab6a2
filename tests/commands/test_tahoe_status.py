"""``manage.py tahoe_status``: what is said of a grid, and its exit status."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.care import checker
from tahoestorage.care.examiner import CheckedObject, Examiner
from tahoestorage.care.record import CheckRecord, default_record
from tahoestorage.care.verdicts import Verdict
from tahoestorage.exceptions import GatewayError
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import serverlist
from tahoestorage.testing.grid import LocalGrid
from tests.support.commands import Made, run

LONG = b"longer than a cap can hold " * 4


@pytest.fixture(scope="module")
def grid(tahoe: Path) -> Iterator[LocalGrid]:
    """Two servers, either of which is enough."""
    with LocalGrid(servers=2, introducer=True, needed=1, happy=1, tahoe=tahoe) as grid:
        yield grid


@pytest.fixture
def site(
    grid: LocalGrid,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TahoeStorage:
    """A site with a cache and a file; its checks leave no trace at home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    backend = "tahoestorage.storage.TahoeStorage"
    given: dict[str, Any] = {
        "base_url": grid.base_url,
        "base_cap": grid.create_root().uri,
        "cache": {"directory": str(tmp_path / "cache")},
    }
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": backend, "OPTIONS": given},
    }
    storage = TahoeStorage(**given)
    storage.save("a/file", ContentFile(LONG))
    return storage


def status(*arguments: str) -> Made:
    # As a second later: other processes read the list for themselves.
    serverlist._lists.clear()
    return run("tahoe_status", "--json", *arguments)


def problems(made: Made) -> list[str]:
    return [each["text"] for each in made.json["storages"][0]["problems"]]


def test_all_is_well(site: TahoeStorage, tmp_path: Path) -> None:
    run("tahoe_check", "--add-lease")
    made, shown = status(), run("tahoe_status")

    (found,) = made.json["storages"]
    assert (made.status, found["status"], found["problems"]) == (0, "ok", [])
    assert found["connected"] == len(found["servers"]) == 2
    assert all(server["space"] > 0 for server in found["servers"])
    assert found["shares"] == {"needed": 1, "total": 2}
    assert (found["spare_servers"], found["may_change"]) == (1, True)
    assert found["cache"][0]["place"] == str(tmp_path / "cache")
    assert found["checks"][0]["summary"]["whole"] == 3
    assert shown.status == 0
    assert "1 of the connected servers can be lost" in shown.out
    assert "Files can be saved" in shown.out


def test_a_site_that_was_never_checked_is_told_so_and_not_warned_of(
    site: TahoeStorage,
) -> None:
    made = run("tahoe_status")
    assert made.status == 0
    assert "No check is on record here" in made.out


def test_a_server_that_is_away_is_critical_where_nothing_can_be_saved(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    grid.stop_server(1)
    try:
        made = status()
    finally:
        grid.start_server(1)
    assert made.status == 2
    assert made.json["storages"][0]["may_change"] is False
    told = " ".join(problems(made))
    assert "is not connected" in told
    assert "nothing can be saved" in told
    assert "CRITICAL: default:" in made.err


LOST = "by the last check 1 files or directories can't be read"


@contextlib.contextmanager
def lost(site: TahoeStorage, grid: LocalGrid, name: str) -> Iterator[None]:
    """Save a file whose shares are gone within the block, and there again after it."""
    before = set(grid.directory.glob("server-*/storage/shares/*/*/*"))
    site.save(name, ContentFile(secrets.token_bytes(400)))
    after = set(grid.directory.glob("server-*/storage/shares/*/*/*"))
    contents = {share: share.read_bytes() for share in after - before}
    for share in contents:
        share.unlink()
    yield
    for share, content in contents.items():
        share.write_bytes(content)


def test_what_the_last_check_of_everything_found_is_told_until_the_next(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    site.save("b/file", ContentFile(LONG))
    run("tahoe_check", "--add-lease")
    with lost(site, grid, "a/lost"):
        run("tahoe_check", "--add-lease")
        run("tahoe_check", "b")
        made = status()
        run("tahoe_check", "a")
        further = status()
    run("tahoe_check")
    found = status()

    assert (made.status, problems(made)) == (2, [LOST])
    assert (further.status, problems(further)) == (
        2,
        [LOST.replace("check", "check of 'a'"), LOST],
    )
    assert (found.status, problems(found)) == (0, [])


def test_what_was_found_by_reading_each_share_is_told_until_that_is_done_again(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    run("tahoe_check", "--add-lease")
    with lost(site, grid, "a/lost"):
        run("tahoe_check", "--verify")
    run("tahoe_check", "--add-lease")
    found = status()
    text = run("tahoe_status")
    run("tahoe_check", "--verify", "a")
    part = status()
    run("tahoe_check", "--verify")
    again = status()

    verified = LOST.replace("check", "check with --verify")
    assert (found.status, problems(found)) == (2, [verified])
    assert "Check of all with --verify, " in text.out
    assert (part.status, problems(part)) == (2, [verified])
    assert (again.status, problems(again)) == (0, [])


def test_a_check_that_lost_something_has_not_renewed_all_leases(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    with lost(site, grid, "a/lost"):
        run("tahoe_check", "--add-lease")
        made = status()
    assert problems(made)[0] == LOST
    assert "until it finds nothing lost, hurt or failed" in problems(made)[1]


def test_leases_on_a_server_that_was_away_have_not_been_renewed(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    grid.stop_server(0)
    try:
        without = run("tahoe_check", "--add-lease", "--json")
    finally:
        grid.start_server(0)
    run("tahoe_check", "--repair")
    warned = status()
    run("tahoe_check", "--add-lease")
    renewed = status()

    assert warned.status == 1
    assert "no check has renewed all leases in 21 days" in problems(warned)[0]
    assert len(without.json["missing"]) == 1
    assert (renewed.status, problems(renewed)) == (0, [])


def test_what_a_check_of_everything_found_is_told_after_many_checks_of_parts(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    run("tahoe_check", "--add-lease")
    with lost(site, grid, "a/lost"):
        run("tahoe_check", "--add-lease")
    with closing(CheckRecord(default_record(site.options.root.fingerprint))) as record:
        for number in range(110):
            record.begin(f"b/{number % 3}", 0, repair=False)
            record.end({"status": "whole", "whole": 1}, is_complete=True)
    made = status()
    assert (made.status, problems(made)) == (2, [LOST])


def test_a_check_in_which_something_failed_is_warned_of_and_gone_on_with(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = Examiner.examine

    def fail(self: Examiner, each: CheckedObject) -> Verdict:
        if each.path == "a/file":
            raise GatewayError("a/file: the gateway failed")
        return examine(self, each)

    run("tahoe_check", "--add-lease")
    with monkeypatch.context() as patch:
        patch.setattr(Examiner, "examine", fail)
        patch.setattr(checker, "STREAMED", 0)
        failed = run("tahoe_check", "--add-lease", "--json")
    made, shown = status(), run("tahoe_status")
    again = run("tahoe_check", "--add-lease", "--json")
    found = status()

    assert (failed.status, failed.json["failed"]) == (4, 1)
    assert "goes on from here" in failed.err
    assert made.status == 1
    assert problems(made) == [
        "by the last check 1 files or directories could not be looked at: run it again"
    ]
    assert ": failed\n" in shown.out
    assert (again.status, again.json["reused"]) == (0, 2)
    assert (found.status, problems(found)) == (0, [])


def test_a_literal_root_has_a_status(site: TahoeStorage, settings: Settings) -> None:
    entry = settings.STORAGES["default"]
    options = {**entry["OPTIONS"], "base_cap": "URI:DIR2-LIT:"}
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**entry, "OPTIONS": options},
    }
    made, shown = status(), run("tahoe_status")
    (found,) = made.json["storages"]
    assert (made.status, found["problems"], found["shares"]) == (0, [], None)
    assert shown.status == 0


def test_leases_that_nobody_renewed_for_long_are_warned_of(site: TahoeStorage) -> None:
    """Also where a check has left out what another has renewed long before."""
    run("tahoe_check", "--add-lease")
    record = default_record(site.options.root.fingerprint)
    long_ago = time.time() - 22 * 86400
    with closing(sqlite3.connect(record)) as database, database:
        database.execute("UPDATE found SET at = ?", (long_ago,))
        database.execute("UPDATE runs SET wanted = 0")
    leaving_out = run("tahoe_check", "--add-lease", "--since", "30d", "--json")
    left_out = status()
    run("tahoe_check", "--add-lease")
    renewed = status()
    with closing(sqlite3.connect(record)) as database, database:
        summary = f'{{"status": "whole", "oldest": {long_ago}}}'
        database.execute("UPDATE runs SET summary = ?", (summary,))
    old = status()

    assert leaving_out.json["reused"] == 3
    assert (renewed.status, problems(renewed)) == (0, [])
    for made in (left_out, old):
        assert made.status == 1
        assert "run tahoe_check --add-lease" in problems(made)[0]


def test_a_check_while_the_clock_was_ahead_hides_nothing_that_came_later(
    site: TahoeStorage, grid: LocalGrid
) -> None:
    move = "UPDATE runs SET started = started + ?1, ended = ended + ?1"
    record = default_record(site.options.root.fingerprint)
    run("tahoe_check", "--add-lease")
    with closing(sqlite3.connect(record)) as database, database:
        database.execute(move, (86400,))
    with lost(site, grid, "a/lost"):
        run("tahoe_check", "--add-lease")
    found = status()
    # Nor does it when that time has come.
    with closing(sqlite3.connect(record)) as database, database:
        database.execute(move, (-2 * 86400,))
    later = status()

    for made in (found, later):
        assert (made.status, problems(made)) == (2, [LOST])


def test_leases_that_were_renewed_while_the_clock_was_ahead_are_warned_of(
    site: TahoeStorage,
) -> None:
    run("tahoe_check", "--add-lease")
    ahead = "UPDATE runs SET summary = json_set(summary, '$.oldest', ?)"
    record = default_record(site.options.root.fingerprint)
    with closing(sqlite3.connect(record)) as database, database:
        database.execute(ahead, (time.time() + 365 * 86400,))
    made = status()
    assert made.status == 1
    assert "run tahoe_check --add-lease" in problems(made)[0]


def test_the_record_of_one_storage_is_not_taken_for_that_of_others(
    site: TahoeStorage, settings: Settings, tmp_path: Path
) -> None:
    file = str(tmp_path / "record")
    run("tahoe_check", "--add-lease", "--state", file)
    alone = status("--state", file)
    settings.STORAGES = {**settings.STORAGES, "other": settings.STORAGES["default"]}
    both = status("--state", file)
    named = status("default", "--state", file)

    assert (both.status, both.out) == (3, "")
    assert "Give the ALIAS" in both.err
    for made in (alone, named):
        assert made.status == 0
        assert len(made.json["storages"][0]["checks"]) == 1


def test_without_a_home_directory_there_is_no_record(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)  # in no user database
    checked, made = run("tahoe_check"), run("tahoe_status")
    named = run("tahoe_check", "--state", str(tmp_path / "record"))

    assert checked.status == 4
    assert "set XDG_STATE_HOME or give --state" in checked.err
    assert made.status == 0
    assert "No check is on record here" in made.out
    assert named.status == 0


def test_a_gateway_that_is_away_is_critical(
    site: TahoeStorage, settings: Settings
) -> None:
    entry = settings.STORAGES["default"]
    entry["OPTIONS"] = {**entry["OPTIONS"], "base_url": "http://127.0.0.1:1"}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    made = status()
    assert made.status == 2
    assert "nothing responds at http://127.0.0.1:1" in problems(made)[0]


def test_a_site_without_a_grid_has_no_status(settings: Settings) -> None:
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {"default": {"BACKEND": backend}}
    made = status()
    assert (made.status, made.out) == (3, "")


@pytest.mark.parametrize("is_made", [True, False], ids=["later", "at once"])
def test_a_grid_s_storage_of_the_site_s_own_that_cant_be_used_is_not_left_out(
    is_made: bool,
    site: TahoeStorage,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_storages.py").write_text(
        "from tahoestorage.storage import TahoeStorage\n"
        "class PrivateStorage(TahoeStorage):\n    pass\n"
    )
    given = dict(settings.STORAGES["default"]["OPTIONS"])
    given["base_cap_file"] = str(tmp_path / "gone")
    if is_made:
        del given["base_cap"]
    entry = {"BACKEND": "own_storages.PrivateStorage", "OPTIONS": given}
    settings.STORAGES = {**settings.STORAGES, "private": entry}
    made = status()
    assert (made.status, made.out) == (3, "")
    assert "private: " in made.err


@pytest.mark.parametrize("backend", ["s3.S3Storage", "needing_a_library.Storage"])
def test_a_store_of_objects_that_cant_be_made_is_no_grid_s(
    backend: str, site: TahoeStorage, settings: Settings
) -> None:
    """Whoever looks at the grid may lack its library, or its options."""
    other = {
        "BACKEND": f"tahoestorage.backends.{backend}",
        "OPTIONS": {"not_an_option": True},
    }
    settings.STORAGES = {**settings.STORAGES, "objects": other}
    run("tahoe_check", "--add-lease")
    made = status()
    assert made.status == 0, made.err
    assert [each["alias"] for each in made.json["storages"]] == ["default"]
