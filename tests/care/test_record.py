"""The record of checks: what is reused of it, and what is believed."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tahoestorage.care import record as records
from tahoestorage.care.record import (
    KEPT_SECONDS,
    LEASED,
    VERIFIED,
    CheckRecord,
    PastCheck,
    RecordBusy,
    default_record,
    past_checks,
)
from tahoestorage.care.verdicts import WHOLE, State, Verdict

DAY = 86400.0
INDEX, OTHER = b"i" * 16, b"o" * 16
HURT = Verdict(State.HURT, "a share is damaged")
_OF_0_2 = """
CREATE TABLE objects (
    id BLOB PRIMARY KEY, run INTEGER, at REAL, done INTEGER, state TEXT, why TEXT
) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, path TEXT, wanted INTEGER, repair INTEGER,
    started REAL, ended REAL, summary TEXT
);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record"


@contextlib.contextmanager
def opened(path: Path, *, leases: bool = False) -> Iterator[CheckRecord]:
    with contextlib.closing(CheckRecord(path, leases=leases)) as record:
        yield record
    assert record.error is None


def execute(path: Path, statement: str, *values: Any) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement, values)


def known(
    record: CheckRecord, wanted: int, index: bytes = INDEX, **given: Any
) -> Verdict | None:
    return record.get(index, wanted, **{"repair": False, "since": None, **given})


def test_a_record_of_before_is_gone_on_with(path: Path) -> None:
    now = time.time()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(_OF_0_2)
        run = "INSERT INTO runs VALUES (1, '', ?, 0, ?, NULL, NULL)"
        database.execute(run, (VERIFIED, now - DAY))
        row = "INSERT INTO objects VALUES (?, 1, ?, ?, 'whole', '')"
        database.execute(row, (INDEX, now - DAY, VERIFIED))
    for _ in range(2):
        with opened(path) as record:
            assert record.begin("", VERIFIED, repair=False) == now - DAY
            assert known(record, VERIFIED) == WHOLE


def of_0_2(path: Path, verdict: Verdict, done: int, at: float) -> None:
    """Write what version 0.2 would: an object that an ended check has found."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(_OF_0_2.replace("TABLE", "TABLE IF NOT EXISTS"))
        row = "INSERT INTO objects VALUES (?, 1, ?, ?, ?, ?)"
        database.execute(row, (INDEX, at, done, verdict.state.value, verdict.why))


def test_leases_of_a_record_of_before_are_renewed_again(path: Path) -> None:
    """Nobody noted which servers were away then."""
    of_0_2(path, WHOLE, VERIFIED | LEASED, time.time() - DAY)
    with opened(path, leases=True) as record:
        record.begin("", LEASED, repair=False)
        assert known(record, LEASED, since=0.0) is None
        assert known(record, VERIFIED, since=0.0) == WHOLE


@pytest.mark.parametrize(("days", "is_newer"), [(1, True), (3, False)])
def test_of_what_two_versions_have_found_in_turns_the_newer_counts(
    days: int, is_newer: bool, path: Path
) -> None:
    now = time.time()
    of_0_2(path, WHOLE, VERIFIED, now - 2 * DAY)
    with opened(path):
        pass
    of_0_2(path, HURT, VERIFIED, now - days * DAY)
    with opened(path) as record:
        record.begin("", VERIFIED, repair=False)
        assert known(record, VERIFIED) == (HURT if is_newer else WHOLE)


def test_one_that_renews_leases_and_one_that_does_not_run_at_once(path: Path) -> None:
    with opened(path), opened(path, leases=True):
        for leases in (False, True):
            with pytest.raises(RecordBusy):
                CheckRecord(path, leases=leases)


@pytest.mark.parametrize(("days", "is_gone_on_with"), [(6, True), (8, False)])
def test_a_check_is_gone_on_with_for_a_week_after_its_last_object(
    days: int, is_gone_on_with: bool, path: Path
) -> None:
    with opened(path) as record:
        record.begin("", VERIFIED, repair=False)
        record.put(INDEX, WHOLE, VERIFIED)
    now = time.time()
    execute(path, "UPDATE runs SET started = ?", now - 20 * DAY)
    execute(path, "UPDATE found SET at = ?", now - days * DAY)
    with opened(path) as record:
        began = record.begin("", VERIFIED, repair=False)
        assert (began is not None) == is_gone_on_with
        assert (known(record, VERIFIED) == WHOLE) == is_gone_on_with


def test_old_leases_are_renewed_again_by_the_same_check(path: Path) -> None:
    with opened(path, leases=True) as record:
        record.begin("", LEASED, repair=False)
        for index in (INDEX, OTHER):
            record.put(index, WHOLE, LEASED)
    old = "UPDATE found SET at = ? WHERE id = ?"
    execute(path, old, time.time() - 15 * DAY, INDEX)
    with opened(path, leases=True) as record:
        assert record.begin("", LEASED, repair=False) is not None
        assert known(record, LEASED) is None
        assert known(record, LEASED, OTHER) == WHOLE


def test_what_one_kind_of_check_found_is_not_undone_by_another(path: Path) -> None:
    with opened(path) as record, opened(path, leases=True) as other:
        record.begin("", VERIFIED, repair=False)
        other.begin("", LEASED, repair=False)
        record.put(INDEX, HURT, VERIFIED)
        record.put(OTHER, WHOLE, VERIFIED)
        other.put(INDEX, WHOLE, LEASED)
        assert known(record, VERIFIED) == HURT
        assert known(record, VERIFIED, OTHER) == WHOLE
        # What was seen to be hurt since is looked at again.
        other.put(OTHER, HURT, LEASED)
        assert known(record, VERIFIED, OTHER) is None
        assert known(record, VERIFIED, OTHER, since=0.0) is None


def test_leases_that_were_renewed_while_a_server_was_away_are_renewed_again(
    path: Path,
) -> None:
    with opened(path, leases=True) as record:
        record.begin("", LEASED, repair=False)
        record.note_missing(["one"])
        record.put(INDEX, WHOLE, LEASED)
    with opened(path, leases=True) as record:
        # The same one goes on, and tells of it in the end.
        assert record.begin("", LEASED, repair=False) is not None
        assert known(record, LEASED) == WHOLE
        record.end({"whole": 1}, is_complete=True)
        (check,) = past_checks(path)
        assert (check.summary or {})["missing"] == ["one"]
        assert not check.has_renewed_all
        record.begin("", LEASED, repair=False)
        assert known(record, LEASED, since=0.0) is None
        assert known(record, 0, since=0.0) == WHOLE


SERVERS = {"start": ["one"], "end": ["one"]}


@pytest.mark.parametrize(
    ("summary", "has_renewed_all"),
    [
        ({"whole": 2, "repaired": 1, "servers": SERVERS, "missing": []}, True),
        # A proxy hides which servers there are.
        ({"whole": 2, "servers": {"start": None, "end": None}}, True),
        ({"whole": 2, "hurt": 1, "servers": SERVERS, "missing": []}, False),
        ({"whole": 2, "lost": 1, "servers": SERVERS, "missing": []}, False),
        ({"whole": 2, "failed": 1, "servers": SERVERS, "missing": []}, False),
        # Version 0.2 did not note which were away.
        ({"whole": 2, "servers": SERVERS}, False),
        ({"whole": 2, "servers": SERVERS, "missing": ["two"]}, False),
        ({"whole": 2, "servers": {"start": ["one"], "end": None}}, False),
    ],
)
def test_all_leases_are_renewed_where_all_is_whole_and_all_servers_are_there(
    summary: dict[str, Any], has_renewed_all: bool
) -> None:
    check = PastCheck("", LEASED, 1.0, 2.0, summary)
    assert check.has_renewed_all == has_renewed_all
    assert not PastCheck("", VERIFIED, 1.0, 2.0, summary).has_renewed_all
    assert not PastCheck("", LEASED, 1.0, None, summary).has_renewed_all


def test_leases_of_a_check_while_the_clock_was_ahead_let_nobody_wait(
    path: Path,
) -> None:
    now = time.time()
    with opened(path, leases=True) as record:
        for oldest in (now - 10 * DAY, now + 90 * DAY):
            record.begin("", LEASED, repair=False)
            record.end({"whole": 1, "servers": {}}, is_complete=True)
            execute(
                path,
                "UPDATE runs SET summary = json_set(summary, '$.oldest', ?) "
                "WHERE id = (SELECT max(id) FROM runs)",
                oldest,
            )
        assert record.patient_until("") == pytest.approx(now + 4 * DAY, abs=1)


def test_without_a_home_directory_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)  # in no user database
    with pytest.raises(OSError, match="set XDG_STATE_HOME or give --state"):
        default_record("0" * 16)


def test_old_checks_are_forgotten_but_for_the_last_of_each_kind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT_SECONDS", 0.0)
    with opened(path) as record:
        for number in range(5):
            record.begin(f"{number % 2}", 0, repair=False)
            record.end({"whole": number}, is_complete=True)
            time.sleep(0.01)
    assert KEPT_SECONDS > 31 * DAY
    assert [(c.path, c.summary and c.summary["whole"]) for c in past_checks(path)] == [
        ("0", 4),
        ("1", 3),
    ]
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)
