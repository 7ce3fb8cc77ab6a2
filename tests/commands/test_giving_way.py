"""A check gives way to those who write, and to nobody else."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.care import checker, givingway
from tahoestorage.care.givingway import RESTS, GivingWay
from tests.conftest import MakeStorage
from tests.support.commands import run

WORK = 0.02  # seconds


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

    class Counted(GivingWay):
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
