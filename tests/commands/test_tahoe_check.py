"""``manage.py tahoe_check``: what is damaged is told, each in its own state."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tahoestorage.care.record import CheckRecord, default_record
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.children import Link
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent
from tests.support.checked_sites import (
    DIRECTORIES,
    FILES,
    LONG,
    TOTAL,
    cap_of,
    corrupt,
    lease_ends,
    lose,
    on,
    shares,
    states,
)
from tests.support.commands import Made


def test_a_whole_site_is_said_to_be_whole(
    checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    made = check("--verify")
    assert (made.status, made.json["status"], made.json["findings"]) == (0, "whole", [])
    assert made.json["checked"] == made.json["whole"] == TOTAL
    servers = made.json["servers"]
    assert servers["start"] == servers["end"]
    assert len(servers["end"]) == 4


def plant(grid: LocalGrid, checked_site: TahoeStorage) -> dict[str, str]:
    """Damage the site in each way; return the states that it is in now."""
    gateway, root = (
        checked_site.directories.gateway,
        checked_site.directories.root.write,
    )
    assert root is not None
    missed = cap_of(checked_site, "one")
    grid.stop_server(0)
    checked_site.links.quorum.invalidate()
    checked_site.save("one/missed", ContentFile(LONG))
    grid.start_server(0)
    lose(grid, cap_of(checked_site, "two/0"), 4)
    lose(grid, cap_of(checked_site, "two/1"), 1)
    corrupt(shares(grid, cap_of(checked_site, "two/2"))[0])
    # In front of the encrypted key, at the end, is the content.
    share = shares(grid, cap_of(checked_site, "two"))[0]
    corrupt(share, share.stat().st_size - 1216 - 40)
    lose(grid, cap_of(checked_site, "two/deep"), 4)
    capless = json.dumps({"capless": ["unknown", {"metadata": {}}]}).encode()
    with gateway._ask(
        "POST", root, (), "t=set_children", label="capless", body=capless
    ):
        pass
    assert len(shares(grid, missed)) > 4
    return {
        "one": "hurt",
        "one/missed": "hurt",
        "two": "hurt",
        "two/0": "lost",
        "two/1": "hurt",
        "two/2": "hurt",
        "two/deep": "lost",
        "capless": "unchecked",
    }


def test_each_damage_is_told_in_its_own_state_and_repaired_where_it_can_be(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    planted = plant(grid, checked_site)

    told = check("--verify")
    repaired = check("--verify", "--repair")
    again = check("--verify", "--restart")

    assert (told.status, told.json["status"]) == (3, "lost")
    found = states(told)
    # What was saved on three servers may have all four shares.
    planted["one/missed"] = found.get("one/missed", "whole")
    if planted["one/missed"] == "whole":
        del planted["one/missed"]
    assert found == planted
    reasons = {each["path"]: each["reason"] for each in told.json["findings"]}
    assert "older version" in reasons["one"]
    assert reasons["two/1"] == "3 of 4 shares are sound"
    assert "damaged shares: 1" in reasons["two/2"]
    assert "nothing below it" in reasons["two/deep"]
    assert "no cap" in reasons["capless"]
    assert repaired.status == 3
    expected = {p: "repaired" if s == "hurt" else s for p, s in planted.items()}
    # Servers never overwrite a share of a file.
    expected["two/2"] = "hurt"
    assert states(repaired) == expected
    lasting = {p: s for p, s in expected.items() if s != "repaired"}
    assert states(again) == lasting
    assert checked_site.open("one/missed").read() == LONG
    assert checked_site.open("two/2").read().endswith(LONG)


def test_a_damaged_share_that_no_repair_can_replace_is_named(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    share = shares(grid, cap_of(checked_site, "one/0"))[0]
    corrupt(share)

    unseen, told = check("one/0"), check("one/0", "--verify", "--repair")
    place = str(share.relative_to(grid.directory / "server-0/storage"))
    share.unlink()
    repaired = check("one/0", "--verify", "--repair")

    assert unseen.status == 0
    assert told.status == 2
    assert f"delete {place} on" in told.json["findings"][0]["reason"]
    assert repaired.status == 1


def test_what_is_repaired_is_told_by_the_exit_status(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    lose(grid, cap_of(checked_site, "one/1"), 2)
    lose(grid, cap_of(checked_site, "two"), 1)

    hurt, repaired, whole = check(), check("--repair"), check()

    assert (hurt.status, states(hurt)) == (2, {"one/1": "hurt", "two": "hurt"})
    assert repaired.status == 1
    assert states(repaired) == {"one/1": "repaired", "two": "repaired"}
    assert (whole.status, states(whole)) == (0, {})


def test_a_lost_directory_is_told_where_it_is_what_is_asked_for(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    lose(grid, cap_of(checked_site, "one"), 4)
    made = check("one")
    assert (made.status, states(made)) == (3, {"one": "lost"})


def test_only_a_directory_or_a_file_is_checked(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    lose(grid, cap_of(checked_site, "two/0"), 4)
    one, file, missing = check("one/"), check("two/0"), check("nowhere")
    assert (one.status, one.json["checked"]) == (0, 4)
    assert (file.status, states(file)) == (3, {"two/0": "lost"})
    assert (missing.status, missing.out) == (4, "")
    assert "nowhere: there is no such file" in missing.err


@pytest.mark.parametrize("verify", [False, True], ids=["streams", "verifies"])
def test_all_leases_are_renewed(
    verify: bool,
    grid: LocalGrid,
    checked_site: TahoeStorage,
    check: Callable[..., Made],
) -> None:
    root = checked_site.directories.root.best
    names = [*DIRECTORIES[1:], *FILES]
    caps = [root, *(cap_of(checked_site, name) for name in names)]
    before = {share: lease_ends(share) for cap in caps for share in shares(grid, cap)}
    time.sleep(1.1)  # leases end at whole seconds

    check(*(["--verify"] if verify else []))
    unchanged = {share: lease_ends(share) for share in before}
    made = check("--add-lease", *(["--verify"] if verify else []))

    assert made.status == 0
    assert len(before) == 4 * len(caps)
    assert unchanged == before
    assert [s for s, ends in before.items() if lease_ends(s) <= ends] == []


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_killed_check_is_gone_on_with(
    jobs: str,
    grid: LocalGrid,
    checked_site: TahoeStorage,
    tmp_path: Path,
    check: Callable[..., Made],
) -> None:
    lose(grid, cap_of(checked_site, "two/1"), 1)
    options: dict[str, Any] = checked_site._given
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\nUSE_TZ = True\n"
        "STORAGES = {'default': {'BACKEND': 'tahoestorage.storage.TahoeStorage', "
        f"'OPTIONS': {dict(options, base_cap=str.__str__(options['base_cap']))!r}}}}}\n"
        # After two objects it waits to be killed, however many it looks at at a time.
        "import threading\n"
        "from tahoestorage.care import record\n"
        "put, lock, done = record.CheckRecord.put, threading.Lock(), []\n"
        "def put_two(*given):\n"
        "    with lock:\n"
        "        if len(done) == 2:\n"
        "            threading.Event().wait()\n"
        "        put(*given)\n"
        "        done.append(given)\n"
        "        print('one', flush=True)\n"
        "record.CheckRecord.put = put_two\n"
    )
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "tahoe_check", "--jobs", jobs],
            cwd=tmp_path,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "one\n"
        process.send_signal(signal.SIGKILL)
        assert "one" not in process.stdout.read()
        process.wait()
        process.stdout.close()

    with requests_sent() as requests:
        made = check()

    assert "Going on with the check" in made.err
    assert made.json["checked"] == TOTAL
    assert (made.status, states(made)) == (2, {"two/1": "hurt"})
    # What was recorded before a kill is not looked at again, and all else is.
    assert made.json["reused"] == 5 * 2
    checks = [line for line in requests if "t=check" in line]
    # What is literal is not recorded; what is hurt is looked at twice.
    left = TOTAL - 1 - made.json["reused"]
    assert left <= len(checks) <= left + 1
    assert not any("t=stream-deep-check" in line for line in requests)


def test_what_was_found_whole_is_not_looked_at_again_within_an_age(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    lose(grid, cap_of(checked_site, "two/1"), 1)
    check()
    again, leased = check("--since", "1h"), check("--since", "1h", "--add-lease")
    assert again.json["reused"] == TOTAL - 2
    assert states(again) == {"two/1": "hurt"}
    assert leased.json["reused"] == 0


def test_through_a_read_cap_all_is_checked_and_nothing_is_repaired(
    grid: LocalGrid,
    checked_site: TahoeStorage,
    settings: Settings,
    check: Callable[..., Made],
) -> None:
    lose(grid, cap_of(checked_site, "two/1"), 1)
    root = checked_site.directories.root.read
    on(grid, root, settings)
    refused, made = check("--repair"), check()
    assert (refused.status, refused.out) == (4, "")
    assert "read cap" in refused.err
    assert made.json["checked"] == TOTAL
    assert states(made)["two/1"] == "hurt"


def test_a_directory_linked_by_its_read_cap_is_told_and_not_repaired(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    gateway, root = (
        checked_site.directories.gateway,
        checked_site.directories.root.write,
    )
    assert root is not None
    file = Link(cap_of(checked_site, "one/0"))
    made = gateway.make_directory({"file": file}, label="other")
    gateway.set_children(root, {"other": Link(made.read_only)}, label="other")
    lose(grid, made, 1)
    told = check("--repair", "other")
    assert (told.status, states(told)) == (2, {"other": "hurt"})
    assert "write cap" in told.json["findings"][0]["reason"]


def test_nothing_mutable_is_repaired_while_too_few_servers_are_there(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    (share,) = (
        s for s in shares(grid, cap_of(checked_site, "one")) if "server-3" in str(s)
    )
    share.unlink()
    for server in (2, 3):
        grid.stop_server(server)
    checked_site.links.quorum.invalidate()
    try:
        made = check("--repair", "one")
    finally:
        for server in (2, 3):
            grid.start_server(server)
    assert made.status == 2
    assert len(made.json["servers"]["start"]) == 2
    found = {each["path"]: each for each in made.json["findings"]}["one"]
    assert "too few servers are there to repair it safely" in found["reason"]
    assert len(shares(grid, cap_of(checked_site, "one"))) == 3


def test_a_gateway_that_is_away_ends_the_check_with_a_status_of_its_own(
    settings: Settings,
    grid: LocalGrid,
    checked_site: TahoeStorage,
    check: Callable[..., Made],
) -> None:
    entry = settings.STORAGES["default"]
    entry["OPTIONS"] = {**entry["OPTIONS"], "base_url": "http://127.0.0.1:1"}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    made = check()
    assert (made.status, made.json["status"]) == (4, "failed")
    assert "http://127.0.0.1:1" in made.json["outage"]


def test_a_terminal_that_takes_nothing_leaves_nothing_out(
    grid: LocalGrid, checked_site: TahoeStorage, check: Callable[..., Made]
) -> None:
    for name in ("one/0", "one/1", "one/2"):
        lose(grid, cap_of(checked_site, name), 1)
    out = io.StringIO()
    with (
        open("/dev/full", "wb", buffering=0) as full,
        io.TextIOWrapper(full, write_through=True) as stderr,
        pytest.raises(CommandError) as raised,
    ):
        call_command("tahoe_check", "--json", stdout=out, stderr=stderr)
    made = Made(raised.value.returncode, out.getvalue(), "")
    assert (made.status, made.json["checked"]) == (2, TOTAL)
    assert states(made) == {"one/0": "hurt", "one/1": "hurt", "one/2": "hurt"}


def test_an_error_that_nobody_expects_ends_the_check_and_is_told(
    checked_site: TahoeStorage,
    check: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("out of the blue")

    with monkeypatch.context() as patch:
        patch.setattr(CheckRecord, "put", fail)
        made = check("--add-lease")
    again = check("--add-lease")

    assert made.status == 4
    assert made.json["outage"] == "RuntimeError out of the blue"
    assert made.json["checked"] < TOTAL
    assert "Going on with the check" in again.err
    assert (again.status, again.json["checked"]) == (0, TOTAL)


def test_two_checks_of_one_site_do_not_run_at_once(
    checked_site: TahoeStorage, check: Callable[..., Made], tmp_path: Path
) -> None:
    other = CheckRecord(default_record(checked_site.directories.root.best.fingerprint))
    made = check()
    other.close()
    assert made.status == 4
    assert "Another check" in made.err
    assert check().status == 0


def test_the_record_is_for_its_owner_alone_and_has_no_cap(
    checked_site: TahoeStorage, check: Callable[..., Made], tmp_path: Path
) -> None:
    check()
    (record,) = (tmp_path / "state/tahoestorage").glob("*.sqlite3")
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700
    assert b"URI:" not in record.read_bytes()


def test_a_storage_that_is_on_no_grid_has_none_of_it(
    settings: Settings, check: Callable[..., Made]
) -> None:
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "disk": {"BACKEND": backend}}
    made = check("--storage", "disk")
    assert made.status == 4
    assert "not on a grid" in made.err
