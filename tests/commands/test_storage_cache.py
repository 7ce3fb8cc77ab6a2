"""``manage.py storage_cache``: what it says, what it forgets, and that it fills."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from pytest_django.fixtures import Settings

from tahoestorage.cache import EntryCache, Listing, Namespace, inspection
from tahoestorage.cache.inspection import InspectedDisk
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.moving.warming import warm
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support import commands
from tests.support.bucket import Bucket
from tests.support.commands import Made

SCOPE = Namespace(b"identity", b"read", b"write")


def run(*arguments: str) -> Made:
    """Run the command in this process."""
    return commands.run("storage_cache", *arguments)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def site(
    settings: Settings, tahoe_grid: LocalGrid, root: Cap, directory: Path
) -> TahoeStorage:
    """The storage of a site, which has it by the alias "default"."""
    options = {
        "base_url": tahoe_grid.base_url,
        "base_cap": root.uri,
        "cache": {"directory": str(directory)},
    }
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": options,
        },
        "off": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {**options, "cache": False},
        },
        "gone": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {**options, "base_url": "http://127.0.0.1:1"},
        },
        "folder": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    }
    storage = storages["default"]
    assert isinstance(storage, TahoeStorage)
    return storage


def another_process(make_storage: MakeStorage, directory: Path) -> TahoeStorage:
    """Return the storage as another process has it: with a memory of its own."""
    cache = {"directory": str(directory), "memory_entries": next(_numbers)}
    return make_storage(cache=cache)


_numbers = iter(range(5_000, 9_000))


def fill(storage: Any) -> list[str]:
    """Save some files, and return their names."""
    some = ["a.txt", "photos/b.jpg", "photos/2026/c.jpg"]
    for name in some:
        storage.save(name, ContentFile(b"content of more than 55 bytes" * 3))
    return some


# stats


def test_stats_make_nothing(site: TahoeStorage, directory: Path) -> None:
    done = run("stats", "--json")

    document = done.json
    live = document.pop("live")
    assert done.status == 0
    assert document == {
        "alias": "default",
        "action": "stats",
        "lifetime": 300.0,
        "tiers": [
            {
                "tier": "disk",
                "place": str(directory),
                "pages": 0,
                "bytes": 0,
                "limit": 256 << 20,
                "error": None,
                "fault": None,
            }
        ],
    }
    assert not directory.exists()
    # The site of the tests counts nothing.
    assert (live["is_recorded"], live["processes"]) == (False, [])
    assert "set TAHOE_METRICS_TOKEN" in live["why_not"]
    assert "Not known what it does for the site: the site counts" in run("stats").out


def test_stats_tell_what_is_kept(site: TahoeStorage, directory: Path) -> None:
    fill(site)

    (disk,) = run("stats", "--json").json["tiers"]
    text = run("stats").out

    assert disk["pages"] >= 3
    assert 4096 < disk["bytes"] < 10 << 20
    assert f"disk: {directory}, {disk['pages']} pages, " in text
    assert "of 256.0 MiB at most\nEntries live 300 s.\n" in text


def test_stats_of_a_cache_that_is_off(site: TahoeStorage) -> None:
    assert run("stats", "off").out == "The cache is off.\n"
    assert run("stats", "off", "--json").json["tiers"] == []


@pytest.mark.parametrize("action", ["clear", "warm"])
def test_nothing_is_done_with_a_cache_that_is_off(
    action: str, site: TahoeStorage
) -> None:
    done = run(action, "off")
    assert done.status == 1
    assert "is off" in done.err


@pytest.mark.parametrize("alias", ["folder", "nobody"])
def test_what_has_no_cache_is_refused(alias: str, site: TahoeStorage) -> None:
    done = run("stats", alias)
    assert done.status == 2
    # No name of a class, which says nothing to people.
    assert "Error" not in done.err.removeprefix("CommandError:")
    assert "Storage" not in done.err


@pytest.mark.parametrize("label", ["link", "file", "stranger"])
def test_what_the_cache_would_not_use_is_left_alone(
    label: str,
    site: TahoeStorage,
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "real").mkdir()
    if label == "link":
        directory.symlink_to(tmp_path / "real")
    elif label == "file":
        directory.write_text("precious")
    else:
        directory.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 4711)

    (disk,) = run("stats", "--json").json["tiers"]

    assert disk["error"] in (
        "it is a link, or not a directory",
        "it belongs to another user",
    )
    assert "not usable" in run("stats").out
    assert run("clear").status == 1


def test_a_damaged_database_is_said_and_made_anew(
    site: TahoeStorage, directory: Path
) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").write_bytes(b"no database" * 1000)

    (disk,) = run("stats", "--json").json["tiers"]
    assert disk["pages"] is None
    assert "not a database" in disk["error"]

    assert run("clear", "--json").json["tiers"][0]["error"] is None
    some = fill(site)
    assert all(site.exists(name) for name in some)


def test_a_database_that_is_just_being_made_is_left_alone(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    database = directory / "cache.db"
    database.touch()
    before = database.stat().st_ino
    disk = InspectedDisk(directory, 1 << 20)

    for stats in (disk.stats(), disk.forget()):
        assert (stats.pages, stats.error) == (0, None)

    assert database.stat().st_ino == before


# clear


def test_clear_leaves_no_page(site: TahoeStorage) -> None:
    fill(site)
    before = run("stats", "--json").json["tiers"][0]

    done = run("clear", "--json")

    assert done.status == 0
    after = done.json["tiers"][0]
    assert after["pages"] == 0
    assert after["bytes"] <= before["bytes"]


def test_clear_frees_the_disk(directory: Path) -> None:
    cache = EntryCache(directory)
    listing = Listing()
    for number in range(20_000):
        listing.add(f"name-{number}", Entry(EntryKind.FILE, "cap" * 20))
    cache.fill(cache.ticket(), SCOPE, listing)
    disk = InspectedDisk(directory, 256 << 20)
    before = disk.stats()

    after = disk.forget()

    assert before.pages is not None
    assert before.pages > 1000
    assert before.bytes is not None
    assert after.bytes is not None
    assert after.bytes < before.bytes / 5


def test_other_processes_forget_at_once(
    site: TahoeStorage, make_storage: MakeStorage, directory: Path
) -> None:
    some = fill(site)
    other = another_process(make_storage, directory)
    assert all(other.exists(name) for name in some)
    with requests_sent() as requests:
        assert all(other.exists(name) for name in some)
    assert requests == []

    run("clear")

    with requests_sent() as requests:
        assert all(other.exists(name) for name in some)
    assert len(requests) == 3


def test_what_was_asked_before_is_not_kept_after(directory: Path) -> None:
    one, other = EntryCache(directory), EntryCache(directory)
    listing = Listing()
    listing.add("name", Entry(EntryKind.FILE, "cap"))
    ticket = one.ticket()

    InspectedDisk(directory, 1 << 20).forget()
    one.fill(ticket, SCOPE, listing)

    assert one.entry(SCOPE, "name") is None
    assert other.entry(SCOPE, "name") is None
    one.fill(one.ticket(), SCOPE, listing)
    assert isinstance(other.entry(SCOPE, "name"), Entry)


def test_a_write_under_way_is_noted_all_the_same(directory: Path) -> None:
    one, other = EntryCache(directory), EntryCache(directory)
    old, new = Entry(EntryKind.FILE, "old"), Entry(EntryKind.FILE, "new")
    listing = Listing()
    listing.add("name", old)
    one.fill(one.ticket(), SCOPE, listing)

    change = one.change(SCOPE, "name")
    InspectedDisk(directory, 1 << 20).forget()
    ticket = other.ticket()
    change.done(new)
    other.fill(ticket, SCOPE, listing)

    for cache in (one, other):
        assert cache.entry(SCOPE, "name") in (None, new)


def test_a_locked_database_is_forgotten_too(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "WAIT_SECONDS", 0.05)
    cache = EntryCache(directory)
    listing = Listing()
    listing.add("name", Entry(EntryKind.FILE, "cap"))
    cache.fill(cache.ticket(), SCOPE, listing)
    locked = sqlite3.connect(directory / "cache.db", isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")

    stats = InspectedDisk(directory, 1 << 20).forget()

    locked.close()
    assert stats.error == "database is locked"
    assert stats.pages == 1
    assert cache.entry(SCOPE, "name") is None


def test_a_site_that_runs_is_never_told_a_lie(
    site: TahoeStorage, make_storage: MakeStorage, directory: Path
) -> None:
    ended = threading.Event()
    wrong: list[str] = []

    def work(storage: TahoeStorage, name: str) -> None:
        try:
            for number in range(15):
                saved = storage.save(f"{name}/{number}", ContentFile(b"content"))
                if not storage.exists(saved):
                    wrong.append(f"{saved} is not there")
                if number % 3 == 0:
                    storage.delete(saved)
                    if storage.exists(saved):
                        wrong.append(f"{saved} is still there")
        finally:
            ended.set()

    workers = [
        threading.Thread(
            target=work, args=(another_process(make_storage, directory), f"d{number}")
        )
        for number in range(2)
    ]
    for worker in workers:
        worker.start()
    disk, count = InspectedDisk(directory, 256 << 20), 0
    errors = set()
    while not ended.is_set():
        errors.add(disk.forget().error)
        count += 1
    for worker in workers:
        worker.join()

    assert wrong == []
    assert errors <= {None, "database is locked"}
    assert count > 1


def test_it_is_cleared_from_another_process(
    site: TahoeStorage, make_storage: MakeStorage, directory: Path, tmp_path: Path
) -> None:
    some = fill(site)
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\n"
        "STORAGES = {'default': {'BACKEND': 'tahoestorage.storage.TahoeStorage'}}\n"
        f"TAHOE_STORAGE_CACHE = {{'directory': {str(directory)!r}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "django", "storage_cache", "clear"],
        cwd=tmp_path,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    # It does not even need the root cap; but the checks of the site say so.
    assert ", 0 pages, " in done.stdout, done.stderr
    with requests_sent() as requests:
        assert all(site.exists(name) for name in some)
    assert len(requests) == 3


# warm


def test_warm_spares_other_processes_every_request(
    site: TahoeStorage, make_storage: MakeStorage, directory: Path
) -> None:
    some = fill(site)
    run("clear")

    done = run("warm", "--json")

    assert done.status == 0
    assert done.json["names"] == len(some)
    assert done.json["failures"] == []
    other = another_process(make_storage, directory)
    with requests_sent() as requests:
        assert all(other.exists(name) and other.size(name) for name in some)
        assert not other.exists("photos/2026/nothing")
        assert other.listdir("photos") == (["2026"], ["b.jpg"])
    assert requests == []


def test_warm_asks_once_for_each_directory(site: TahoeStorage) -> None:
    fill(site)
    with requests_sent() as requests:
        done = run("warm")
    assert requests.verbs == ["GET"] * 3
    assert done.out.startswith("3 names in the cache for 300 s; ")


def test_warm_keeps_what_a_bucket_lists(directory: Path) -> None:
    cache = {"directory": str(directory)}
    one, other = (
        Bucket(location="media", cache={**cache, "memory_entries": entries})
        for entries in (100, 200)
    )
    other.objects = one.objects
    for number in range(7):
        one.put(f"media/{number}", b"content")
    one.put("media/a//b", b"content")
    one.put("media/folder/", b"")

    found = [each.name for each in warm(one)]

    assert found == [str(number) for number in range(7)]
    assert [other.size(name) for name in found] == [7] * 7
    assert set(one.asked) == {"page"}
    assert other.asked == []


def test_warm_does_not_keep_what_was_changed_meanwhile(directory: Path) -> None:
    class Busy(Bucket):
        def list_pages(self, prefix: str) -> Any:
            for page in super().list_pages(prefix):
                kept = list(page)
                self.delete("name")
                yield kept

    bucket = Busy(cache={"directory": str(directory)})
    bucket.put("name", b"content")

    assert [found.name for found in warm(bucket)] == ["name"]
    assert not bucket.exists("name")


def test_warm_says_what_it_can_t_have(site: TahoeStorage) -> None:
    done = run("warm", "gone", "--json")
    assert done.status == 1
    assert "nothing responds" in done.json["failures"][0]["reason"]


def test_warm_can_be_interrupted(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    fill(site)
    monkeypatch.setattr("tahoestorage.progress.Progress.looked", stop)
    done = run("warm", "--json")
    assert done.status == 130
    assert done.json["names"] == 1
