"""``manage.py tahoe_check`` where what fails is not among the files that it checks."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tahoestorage.care import examiner
from tahoestorage.care.record import default_record
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tests.support.commands import Made, run
from tests.support.proxy import Proxy, Seen, SendResponse

TOTAL = 4  # the root, a directory and two files


@pytest.fixture
def site(
    proxy: Proxy,
    root: Cap,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TahoeStorage:
    """A site with a few files, whose gateway is behind the proxy."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(examiner, "PAUSE", 0.05)
    monkeypatch.setattr(examiner, "RETRY_PAUSES", (0.05, 0.05))
    given: dict[str, Any] = {
        "base_url": proxy.url,
        "base_cap": root.uri,
        "cache": False,
    }
    entry = {"BACKEND": "tahoestorage.storage.TahoeStorage", "OPTIONS": given}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    storage = TahoeStorage(**given)
    for name in ("d/one", "d/two"):
        storage.save(
            name, ContentFile(f"{name} is longer than a cap can hold".encode() * 9)
        )
    proxy.clear()
    return storage


def check(*arguments: str) -> Made:
    return run("tahoe_check", "--json", *arguments)


def record_of(site: TahoeStorage) -> Path:
    path = default_record(site.directories.root.best.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE runs (x)"],
        ["UPDATE runs SET ended = NULL, started = 'x'"],
        [
            "CREATE TRIGGER full BEFORE INSERT ON runs "
            "BEGIN SELECT RAISE(FAIL, 'full'); END"
        ],
        ["UPDATE found SET state = 'x'"],
        ["UPDATE found SET done = 'x', at = 'x'"],
    ],
    ids=["tables", "time", "full", "state", "done"],
)
def test_a_check_goes_on_without_a_record_that_is_of_no_use(
    statements: list[str], site: TahoeStorage
) -> None:
    path = record_of(site)
    if "CREATE TABLE" not in statements[0]:
        assert check().status == 0
    execute(path, *statements)

    made = check("--since", "1h")

    assert (made.status, made.json["whole"]) == (0, TOTAL)
    assert "Not noted what was checked: " in made.err


@pytest.mark.usefixtures("site")
def test_a_result_that_cant_be_printed_is_not_taken_for_a_repair() -> None:
    for command, status in (("tahoe_check", 4), ("tahoe_status", 3)):
        with (
            open("/dev/full", "wb", buffering=0) as full,
            io.TextIOWrapper(full, write_through=True) as stdout,
            pytest.raises(CommandError, match="No space left") as raised,
        ):
            call_command(command, stdout=stdout, stderr=io.StringIO())
        assert raised.value.returncode == status


def test_a_gateway_that_fails_at_the_end_costs_no_result(
    site: TahoeStorage, proxy: Proxy
) -> None:
    def is_at_the_end(seen: Seen) -> bool:
        return seen.target == "/?t=json" and any(
            "check" in s.target for s in proxy.seen
        )

    proxy.rule(is_at_the_end, SendResponse(502, body=b"Bad Gateway"), None, guards=True)

    made = check()
    proxy.clear()
    again = check()

    assert (made.status, made.json["whole"]) == (0, TOTAL)
    assert made.json["servers"]["start"]
    assert made.json["servers"]["end"] is None
    # It has come to its end.
    assert "Going on" not in again.err
