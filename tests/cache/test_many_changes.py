"""One change of many names: what is known of them, and how much is written for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tahoestorage.cache import (
    MISSING,
    EntryCache,
    Listing,
    ManyChanges,
    Namespace,
    fillings,
    localtiers,
    tiers,
)
from tahoestorage.cache.changes import CROWDED
from tahoestorage.cache.disk import DiskTier
from tahoestorage.cache.errors import DiskError
from tahoestorage.cache.pages import PAGE_ENTRIES
from tahoestorage.cache.tiers import BATCH
from tahoestorage.entries import Entry, EntryKind
from tests.support.redis_server import RedisServer

SCOPE = Namespace(b"identity", b"read", b"write")
OLD, NEW = Entry(EntryKind.FILE, "old cap", 7), Entry(EntryKind.FILE, "new cap", 8)
MakeCache = Callable[[], EntryCache]


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"{number}.txt" for number in range(first, first + count)]


def fill(cache: EntryCache, names: list[str]) -> None:
    listing = Listing()
    for name in names:
        listing.add(name, OLD, f"write cap of {name}")
    cache.fill(cache.ticket(), SCOPE, listing)


def add(cache: EntryCache, names: list[str]) -> None:
    cache.change_many(SCOPE, names).done(dict.fromkeys(names, NEW))


@pytest.fixture(params=["disk", "disk alone", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeCache:
    """Make caches as processes have them that share a disk, or a Redis."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return lambda: EntryCache(redis=server.url)
    room = 10_000 if request.param == "disk" else 0
    return lambda: EntryCache(tmp_path / "cache", memory_entries=room)


class Writes:
    """How many pages were written to the disk, under how many locks, of what size."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.locks = 0


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    writes, set_, transaction = Writes(), DiskTier.set, DiskTier.transaction

    def counted_set(tier: DiskTier, key: bytes, value: bytes) -> None:
        writes.sizes.append(len(value))
        set_(tier, key, value)

    @contextmanager
    def counted(tier: DiskTier) -> Iterator[None]:
        writes.locks += 1
        with transaction(tier):
            yield

    monkeypatch.setattr(DiskTier, "set", counted_set)
    monkeypatch.setattr(DiskTier, "transaction", counted)
    return writes


@pytest.mark.parametrize("count", [3, 1000])
def test_of_names_that_are_changed_nothing_is_known_until_that_is_done(
    make: MakeCache, count: int
) -> None:
    here, there = make(), make()
    fill(here, numbered(count))
    changed = [*numbered(count)[::2], *numbered(50, count)]

    change = here.change_many(SCOPE, changed)
    for cache in (here, there):
        assert {cache.entry(SCOPE, name) for name in changed} == {None}
        assert cache.entry(SCOPE, "1.txt") == OLD
        assert cache.entries(SCOPE) is None

    gone, unknown = changed[0], changed[-1]
    found = dict.fromkeys(changed[1:-1], NEW)
    references = {changed[1]: "new write cap"}
    change.done({gone: MISSING, **found}, references)
    for cache in (here, make()):
        assert cache.entry(SCOPE, gone) is MISSING
        assert cache.entry(SCOPE, unknown) is None
        assert {cache.entry(SCOPE, name) for name in changed[1:-1]} == {NEW}
        assert cache.write_reference(SCOPE, changed[1]) == "new write cap"
        assert cache.write_reference(SCOPE, changed[2]) is None
        assert cache.write_reference(SCOPE, "1.txt") == "write cap of 1.txt"


def test_what_is_never_done_stays_unknown(make: MakeCache) -> None:
    here, there = make(), make()
    fill(here, numbered(600))
    here.change_many(SCOPE, numbered(600))
    assert {there.entry(SCOPE, name) for name in numbered(600)} == {None}


def test_a_name_that_another_writes_meanwhile_stays_unknown(make: MakeCache) -> None:
    here, there = make(), make()
    fill(here, numbered(600))
    change = here.change_many(SCOPE, numbered(600))
    there.change(SCOPE, "7.txt").done(OLD)
    change.done(dict.fromkeys(numbered(600), NEW))
    for cache in (here, there):
        assert cache.entry(SCOPE, "7.txt") is None
        assert cache.entry(SCOPE, "8.txt") == NEW


def test_each_page_is_written_once_before_and_once_after(
    tmp_path: Path, writes: Writes
) -> None:
    cache = EntryCache(tmp_path / "cache")
    fill(cache, numbered(1000))
    pages = 1000 // PAGE_ENTRIES + 2
    for names in (numbered(1000), numbered(400, 800)):
        writes.sizes.clear()
        writes.locks = 0
        add(cache, names)
        assert len(writes.sizes) <= 2 * pages
        assert writes.locks == 2 * (64 // BATCH)


def test_a_directory_that_grows_is_spread_over_more_pages(
    make: MakeCache, writes: Writes
) -> None:
    cache = make()
    fill(cache, numbered(1))
    count = 1
    while count < 2000:
        add(cache, numbered(count, count))
        count *= 2
    added = numbered(count - 1, 1)
    for each in (cache, make()):
        assert {each.entry(SCOPE, name) for name in added} == {NEW}
        assert each.write_reference(SCOPE, "0.txt") == "write cap of 0.txt"
        assert each.entry(SCOPE, "no such name") is MISSING
        assert dict(each.entries(SCOPE) or []) == {"0.txt": OLD} | dict.fromkeys(
            added, NEW
        )
    # What one more costs, and what all have cost.
    written = sum(writes.sizes)
    assert written < 12 * count * 200
    add(cache, ["one more"])
    assert sum(writes.sizes) - written < 3 * CROWDED * 200


def test_what_others_change_while_it_is_spread_is_not_undone(
    make: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make(), make()
    fill(here, numbered(10))
    keep, kept = fillings.keep_listing, []

    def late(of: tiers.Tiers[Any], namespace: Namespace, *arguments: Any) -> None:
        there.change(SCOPE, "3.txt").done(MISSING)
        keep(of, namespace, *arguments)
        kept.append(namespace)

    monkeypatch.setattr(fillings, "keep_listing", late)
    add(here, numbered(200, 10))
    assert kept == [SCOPE]
    for cache in (here, there, make()):
        assert cache.entry(SCOPE, "3.txt") is MISSING
        assert cache.entry(SCOPE, "150.txt") == NEW


def test_nothing_lives_longer_because_it_was_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EntryCache(tmp_path / "cache", lifetime=300)
    fill(cache, numbered(10))
    started = time.time()
    for seconds, known in ((200.0, OLD), (301.0, None)):
        now = partial(float, started + seconds)
        clock = SimpleNamespace(time=now, monotonic=time.monotonic)
        for module in (tiers, localtiers):
            monkeypatch.setattr(module, "time", clock)
        add(cache, numbered(200, 10))
        assert cache.entry(SCOPE, "5.txt") == known


def test_a_listing_of_before_that_comes_half_way_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, other = EntryCache(tmp_path / "cache"), EntryCache(tmp_path / "cache")
    names = numbered(1000)
    fill(cache, names)
    added = numbered(1000, 1000)
    patch, patched = localtiers.LocalTiers.patch, []

    def then_filled(self: Any, *arguments: Any) -> None:
        patch(self, *arguments)
        patched.append(self)
        if len(patched) == 1:
            fill(other, names)

    monkeypatch.setattr(localtiers.LocalTiers, "patch", then_filled)
    add(cache, added)
    assert len(patched) > 2
    for each in (cache, other, EntryCache(tmp_path / "cache")):
        known = [each.entry(SCOPE, name) for name in added]
        assert MISSING not in known
        assert NEW in known


def test_where_the_disk_fails_half_way_nothing_old_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, other = EntryCache(tmp_path / "cache"), EntryCache(tmp_path / "cache")
    names = numbered(2000)
    fill(cache, names)
    transaction, locks = DiskTier.transaction, []

    def fails(tier: DiskTier) -> AbstractContextManager[None]:
        locks.append(tier)
        if len(locks) == 3:
            raise DiskError("the disk is full")
        return transaction(tier)

    monkeypatch.setattr(DiskTier, "transaction", fails)
    change = cache.change_many(SCOPE, names)
    assert isinstance(change, ManyChanges)
    for each in (cache, other):
        assert {each.entry(SCOPE, name) for name in names} == {None}
    change.done(dict.fromkeys(names, MISSING))
    for each in (cache, other):
        assert {each.entry(SCOPE, name) for name in names} <= {None, MISSING}
