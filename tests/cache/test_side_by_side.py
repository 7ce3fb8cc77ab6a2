"""The release before this one and this one, on one cache directory at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.base import ContentFile

from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.old_release import Worker

Workers = Callable[..., Worker]


def test_the_release_before_this_one_is_what_runs_beside_it(
    workers: Workers, old_release: Path
) -> None:
    where = {old: workers(old, "import tahoestorage") for old in (True, False)}
    places = {
        old: Path(str(worker.ask("tahoestorage.__file__")))
        for old, worker in where.items()
    }
    assert places[True].is_relative_to(old_release)
    assert not places[False].is_relative_to(old_release)


SETUP = """
import sys
from pathlib import Path
from tahoestorage.cache import MISSING, EntryCache, Listing
from tahoestorage.entries import Entry, EntryKind

try:
    from tahoestorage.cache import Namespace
except ImportError:
    # Its name in the release before.
    from tahoestorage.cache import Scope as Namespace

SCOPE = Namespace(b"identity", b"read", b"write")
cache = EntryCache(Path(sys.argv[1]))
known = {"old": "cap of old"}
changes = {}

def fill():
    listing = Listing()
    for name, cap in known.items():
        listing.add(name, Entry(EntryKind.FILE, cap))
    cache.fill(cache.ticket(), SCOPE, listing)

def begin(name):
    changes[name] = cache.change(SCOPE, name)

def done(name, cap):
    changes.pop(name).done(Entry(EntryKind.FILE, cap) if cap else MISSING)

def look(name):
    entry = cache.entry(SCOPE, name)
    return "missing" if entry is MISSING else entry and entry.reference
"""
Known = dict[str, str | None]


class Site:
    """Workers of both releases on one directory, and what is really there."""

    def __init__(self, workers: Workers, directory: Path) -> None:
        self._workers = workers
        self.directory = directory
        self.workers: list[Worker] = []
        self.there: Known = {"old": "cap of old"}

    def start(self, old: bool) -> Worker:
        worker = self._workers(old, SETUP, self.directory)
        self.workers.append(worker)
        return worker

    def fill(self, worker: Worker) -> None:
        known = {name: cap for name, cap in self.there.items() if cap}
        worker.run(f"known = {known!r}; fill()")

    def write(self, worker: Worker, name: str, cap: str | None) -> None:
        worker.run(f"begin({name!r})")
        self.there[name] = cap
        for each in self.workers:
            assert each.ask(f"look({name!r})") is None
        worker.run(f"done({name!r}, {cap!r})")

    def look(self) -> int:
        """Return how many answers were known; fail where one is wrong."""
        responses = [
            (worker.ask(f"look({name!r})"), cap or "missing")
            for worker in self.workers
            for name, cap in self.there.items()
        ]
        assert [a for a in responses if a[0] not in (None, a[1])] == []
        return sum(said is not None for said, _ in responses)


@pytest.fixture
def site(workers: Workers, tmp_path: Path) -> Site:
    return Site(workers, tmp_path / "cache")


@pytest.mark.parametrize("first", [True, False], ids=["old first", "new first"])
def test_each_release_sees_what_the_other_changes(site: Site, first: bool) -> None:
    site.start(first)
    site.fill(site.workers[0])
    site.start(not first)
    # As a rolling upgrade, or the way back, goes on: some of each.
    site.start(first)
    site.start(not first)
    known = 0
    for number in range(12):
        worker = site.workers[number % len(site.workers)]
        site.fill(worker)
        known += site.look()
        site.write(worker, "old", f"cap {number}" if number % 3 else None)
        known += site.look()
        site.write(worker, f"new {number}", f"cap {number}")
        known += site.look()
    assert known > 0


def test_an_old_one_that_was_there_before_is_reckoned_with(site: Site) -> None:
    old = site.start(True)
    site.fill(old)
    assert old.ask("look('old')") == "cap of old"
    new = site.start(False)
    site.fill(new)
    assert new.ask("look('old')") == "cap of old"
    site.write(old, "old", None)
    assert site.look() >= 0
    site.fill(new)
    assert new.ask("look('old')") == "missing"


def test_a_change_that_began_before_the_upgrade_is_told_after_it(site: Site) -> None:
    old = site.start(True)
    site.fill(old)
    old.run("begin('old')")
    new = site.start(False)
    new.run("ticket = cache.ticket()")
    site.fill(new)  # With what was there before.
    site.there["old"] = None
    old.run("done('old', None)")
    site.look()
    new.run("cache.fill(ticket, SCOPE, Listing())")
    site.look()


def test_what_a_new_one_changes_just_after_it_has_come_an_old_one_sees(
    site: Site,
) -> None:
    old = site.start(True)
    site.fill(old)
    for number in range(3):
        assert old.ask("look('old')") is not None
        new = site.start(False)
        new.run("begin('old')")
        assert old.ask("look('old')") is None
        site.there["old"] = f"cap {number}"
        new.run(f"done('old', 'cap {number}')")
        site.look()
        site.fill(old)


def test_a_new_one_trusts_the_header_alone_until_an_old_one_comes(site: Site) -> None:
    new = site.start(False)
    site.fill(new)
    trusts = "cache.revalidate().header != b''"
    assert new.ask(trusts) is True
    site.start(True)
    assert new.ask(trusts) is False
    assert site.start(False).ask(trusts) is False
    site.write(site.workers[1], "old", None)
    site.look()


def test_an_old_one_that_is_gone_is_forgotten_after_a_while(site: Site) -> None:
    new = site.start(False)
    site.start(True).end()
    site.workers.pop()
    site.fill(new)
    assert new.ask("cache.revalidate().header != b''") is False
    new.run("from tahoestorage.cache import generations")
    new.run("generations.OLD_VERSION_SECONDS = 0.0")
    new.run("cache._tiers.look()")
    assert new.ask("cache.revalidate().header != b''") is True


def test_clearing_the_cache_by_an_old_release_is_seen(site: Site) -> None:
    new = site.start(False)
    site.fill(new)
    assert site.look() == 1
    old = site.start(True)
    old.run(
        "from tahoestorage.cache.inspection import InspectedDisk\n"
        "InspectedDisk(Path(sys.argv[1]), 1 << 20).forget()"
    )
    assert new.ask("look('old')") is None


def test_a_way_back_leaves_the_old_release_a_limit_of_its_database(site: Site) -> None:
    site.fill(site.start(False))
    site.workers.pop().end()
    old = site.start(True)
    site.fill(old)
    assert old.ask("cache._tiers._access._disk._cache.cull_limit") == 10


SAVING = """
import django
from django.conf import settings
settings.configure()
django.setup()
from tahoestorage.storage import TahoeStorage
"""


def test_what_keeps_directories_from_being_empty_is_hidden_on_pages_of_the_old_one(
    workers: Workers,
    make_storage: MakeStorage,
    root: Cap,
    tahoe_grid: LocalGrid,
    tmp_path: Path,
) -> None:
    make_storage(cache=False).save("dir/file", ContentFile(b"content"))
    make_storage(cache=False).links.change_facts(lambda facts: {**facts, "new": 1})
    directory = str(tmp_path / "shared")
    storage = make_storage(cache={"directory": directory})
    # One that comes later begins the counters anew.
    storage.directories.cache.ticket()
    old = workers(True, SAVING)
    options = {
        "base_url": tahoe_grid.base_url,
        "base_cap": root.uri,
        "cache": {"directory": directory},
    }
    old.run(f"storage = TahoeStorage(**{options!r})")
    there = [[f"{marker.NAME} 1", "dir"], [marker.NAME]]
    assert old.ask("[sorted(each) for each in storage.listdir('')]") == there
    there = [[], [marker.NAME, "file"]]
    assert old.ask("[sorted(each) for each in storage.listdir('dir')]") == there
    with requests_sent() as sent:
        assert storage.listdir("") == (["dir"], [])
        assert storage.listdir("dir") == ([], ["file"])
    assert sent == []
