"""A check gives way to those who write, and to nobody else."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.care import checker, givingway
from tahoestorage.care.givingway import RESTS, GivingWay
from tahoestorage.care.record import LEASED, VERIFIED, CheckRecord
from tests.conftest import MakeStorage
from tests.support.commands import run
from tests.support.redis_server import running

WORK = 0.02  # seconds
DAY = 86400.0


class Rests(threading.Event):
    """Notes how long it is waited for, and lets nobody wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return False


def work(way: GivingWay) -> None:
    with way.turn():
        time.sleep(WORK)


def test_it_rests_after_each_turn_while_others_write(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, other = make_storage(), make_storage()
    way = GivingWay(site.directories.cache, rests := Rests())
    work(way)
    alone = list(rests.seconds)

    other.save("file", ContentFile(b"of another"))
    for _ in range(2):
        work(way)
    beside = list(rests.seconds)
    monkeypatch.setattr(givingway, "SEEN_SECONDS", 0.0)
    work(way)

    assert alone == []
    assert len(beside) == 2
    assert all(seconds >= RESTS * WORK for seconds in beside)
    assert rests.seconds == beside


def test_one_turn_is_taken_at_a_time_while_others_write(
    make_storage: MakeStorage,
) -> None:
    site = make_storage()
    way = GivingWay(site.directories.cache, Rests())
    at_work, most = [], []

    def look() -> None:
        with way.turn():
            at_work.append(1)
            most.append(len(at_work))
            time.sleep(WORK)
            at_work.pop()

    site.save("file", ContentFile(b"of another"))
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1, 1, 1, 1]


def test_without_a_cache_that_others_share_nobody_is_seen(
    make_storage: MakeStorage,
) -> None:
    site = make_storage(cache=False)
    way = GivingWay(site.directories.cache, rests := Rests())
    site.save("file", ContentFile(b"of this"))
    work(way)
    assert rests.seconds == []


def test_nobody_is_seen_while_the_shared_redis_is_away(
    make_storage: MakeStorage, tmp_path: Path
) -> None:
    with running(tmp_path) as redis:
        site = make_storage(cache={"redis": redis.url})
        other = make_storage(cache={"redis": redis.url})
        way = GivingWay(site.directories.cache, rests := Rests())
        other.save("file", ContentFile(b"of another"))
        work(way)
        assert len(rests.seconds) == 1
        redis.stop()
        for _ in range(2):
            work(way)
        assert len(rests.seconds) == 1


def test_it_gives_way_no_longer_than_leases_have_time(
    make_storage: MakeStorage,
) -> None:
    site, other = make_storage(), make_storage()
    cache, stopped = site.directories.cache, Rests()
    ways = [GivingWay(cache, stopped, time.time() + rest) for rest in (-1.0, 60.0)]
    other.save("file", ContentFile(b"of another"))
    rested = []
    for way in ways:
        work(way)
        rested.append(len(stopped.seconds))
    assert rested == [0, 1]


def summary_of(oldest: float | str | None, now: float) -> str | None:
    if oldest == "hurt":
        return json.dumps({"oldest": now, "hurt": 1})
    if oldest is None:
        return None
    return json.dumps({"oldest": now + float(oldest) * DAY})


@pytest.mark.parametrize(
    ("runs", "until"),
    [
        ([], 7),
        # The first one was killed and begun anew, and is told by when it began first.
        ([("", LEASED, -9, None, None), ("", LEASED, -1, None, None)], -2),
        ([("", LEASED, -20, -19, -20), ("", LEASED, -5, -4, -8)], 6),
        # The last one has not renewed all.
        ([("", LEASED, -9, -8, -9), ("", LEASED, -5, -4, "hurt")], 5),
        ([("", LEASED | VERIFIED, -20, -19, -20), ("", LEASED, -5, None, None)], -6),
        # Others renew no leases, or only those of a part.
        ([("", VERIFIED, -20, -19, -20), ("part", LEASED, -9, -9, -9)], 7),
    ],
)
def test_a_check_that_renews_leases_may_rest_by_how_old_they_are(
    tmp_path: Path, runs: list[tuple[Any, ...]], until: int
) -> None:
    now, path = time.time(), tmp_path / "record"
    record = CheckRecord(path, leases=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for where, wanted, started, ended, oldest in runs:
            database.execute(
                "INSERT INTO runs (path, wanted, repair, started, ended, summary) "
                "VALUES (?, ?, 0, ?, ?, ?)",
                (
                    where,
                    wanted,
                    now + started * DAY,
                    ended and now + ended * DAY,
                    summary_of(oldest, now),
                ),
            )
    found = record.patient_until("")
    record.close()
    assert round((found - now) / DAY, 2) == until


def test_a_check_takes_turns(
    make_storage: MakeStorage,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = make_storage()
    site.save("d/file", ContentFile(b"longer than a cap can hold " * 4))
    backend = "tahoestorage.storage.TahoeStorage"
    entry = {"BACKEND": backend, "OPTIONS": dict(site._given)}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    turns: list[str] = []
    limits: list[float] = []

    class Counted(GivingWay):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            limits.append(arguments[-1])

        @contextlib.contextmanager
        def turn(self) -> Iterator[None]:
            turns.append("begun")
            with super().turn():
                yield

    monkeypatch.setattr(checker, "GivingWay", Counted)
    made = run("tahoe_check", "--json", "--state", str(tmp_path / "state"))

    assert (made.status, made.json["whole"]) == (0, 3)
    # The root, and the other directory with what is in it.
    assert len(turns) == 2

    assert run("tahoe_check", "--add-lease", "--state", str(tmp_path / "s")).status == 0
    assert time.time() + 13 * DAY < limits[0] < time.time() + 14 * DAY
    assert limits[1] < time.time() + 7 * DAY
