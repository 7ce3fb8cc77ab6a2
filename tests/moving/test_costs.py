"""What moving files costs: time, requests, memory, and space on a grid."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, storages

from tahoestorage.moving import grid, linkqueue
from tahoestorage.moving.pool import WorkerThreads
from tahoestorage.moving.run import Run
from tahoestorage.moving.space import Spread
from tahoestorage.moving.throttle import Throttle
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import Requests, requests_sent
from tests.support.bucket import Bucket
from tests.support.moves import (
    PATIENCE,
    Add,
    contents,
    copy,
    environment,
    fill,
    moved,
    overwrite,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("no_waiting")


def test_a_rate_holds_for_all_threads_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Threads may take their time to start.
    monkeypatch.setattr("tahoestorage.moving.throttle.time.monotonic", lambda: 1000.0)
    flow = Throttle(100_000)
    waits: list[float] = []
    flow.wait = waits.append  # type: ignore[assignment,method-assign]
    threads = [
        threading.Thread(target=flow.take, args=(flow.block, flow.block))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert flow.block == 12_500
    assert max(waits) == pytest.approx(1.25)


def test_a_limited_run_takes_as_long_as_it_must(add: Add) -> None:
    fill(add("from", "memory"), {"name": bytes(50_000)})
    add("to", "memory")
    done = copy("from", "to", "--bwlimit", "100K", "--json")
    assert done.json["seconds"] >= 50_000 / 102_400


def test_what_is_unchanged_costs_a_listing_of_each_directory(add: Add) -> None:
    fill(add("from", "disk"), {f"{n % 3}/{n}": bytes(100) for n in range(60)})
    add("to", "grid")
    copy("from", "to")

    with requests_sent() as requests:
        done = copy("from", "to", "--json")

    assert done.counts == {"skipped": 60}
    assert requests.verbs == ["GET"] * 4


class TestFromAGrid:
    @pytest.fixture(autouse=True)
    def _copied(self, add: Add) -> None:
        fill(add("from", "grid"), {f"{n % 3}/{n}": b"%d " % n * 9 for n in range(60)})
        add("to", "disk")
        copy("from", "to")

    @staticmethod
    def listings() -> int:
        with requests_sent() as requests:
            assert copy("from", "to", "--json").counts == {"skipped": 60}
        assert {*requests.verbs} == {"GET"}
        return len(requests.verbs)

    def test_each_directory_is_listed_once(self) -> None:
        assert self.listings() == 4

    def test_beyond_a_number_of_names_twice(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The root has three, and each directory twenty.
        monkeypatch.setattr(grid, "KEPT_NAMES", 3 + 20)
        assert self.listings() == 4 + 2

    def test_after_some_time_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(grid, "KEPT_SECONDS", -1.0)
        assert self.listings() == 4 + 4

    def test_what_is_replaced_after_it_was_listed_is_copied(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same number of bytes, before the copying begins."""
        copy_all, name, content = Run._copy_all, "1/1", b"x " * 9

        def replacing(self: Run) -> None:
            overwrite(storages["from"], name, content)
            copy_all(self)

        monkeypatch.setattr(Run, "_copy_all", replacing)
        storages["to"].delete(name)
        assert copy("from", "to", "--json").counts == {"copied": 1, "skipped": 59}
        with storages["to"].open(name) as file:
            assert file.read() == content


@contextlib.contextmanager
def links_wait_for_uploads(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> Iterator[Requests]:
    """Record requests; no link is made before so many files are uploaded.

    So there are two changes at most: who waited for the first is served by the second.
    """
    link_together = TahoeStorage.link_together
    monkeypatch.setattr(linkqueue, "LINGER_SECONDS", PATIENCE)

    def link(*arguments: Any, **options: Any) -> Mapping[str, Exception]:
        wait_until(lambda: requests.verbs.count("PUT") >= count)
        return link_together(*arguments, **options)

    monkeypatch.setattr(TahoeStorage, "link_together", link)
    with requests_sent() as requests:
        yield requests


def test_files_of_one_directory_are_linked_by_few_changes(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(add("from", "disk"), {f"dir/{n}": b"%d " % n * 100 for n in range(60)})
    add("to", "grid")

    with links_wait_for_uploads(monkeypatch, 60) as requests:
        assert copy("from", "to", "--json").counts == {"copied": 60}

    assert requests.verbs.count("PUT") == 60
    # The directory is made with those that are linked first, and then linked itself.
    assert requests.verbs.count("POST") <= 3


def test_what_has_changed_in_one_directory_is_replaced_by_few_changes(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = add("from", "disk"), add("to", "grid")
    fill(here, {f"dir/{n}": b"%d " % n * 100 for n in range(60)})
    copy("from", "to")
    for n in range(60):
        overwrite(here, f"dir/{n}", b"%d is another one " % n * 100)

    with links_wait_for_uploads(monkeypatch, 60) as requests:
        assert copy("from", "to", "--json").counts == {"copied": 60}

    assert requests.verbs.count("PUT") == 60
    assert requests.verbs.count("POST") <= 2
    assert contents(here) == contents(there)


def test_a_source_is_closed_while_its_file_waits_to_be_linked(
    tmp_path: Path, storage: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(FileSystemStorage):
        def open(self, name: str, mode: str = "rb") -> File[Any]:
            opened[name] = super().open(name, mode)
            return opened[name]

    opened: dict[str, File[Any]] = {}
    were_closed: dict[str, bool] = {}
    link_together = storage.link_together

    def link(caps: Mapping[str, Cap], **options: Any) -> Mapping[str, Exception]:
        were_closed.update({name: opened[name].closed for name in caps})
        return link_together(caps, **options)

    monkeypatch.setattr(storage, "link_together", link)
    here = Noting(tmp_path / "from")
    names = [f"dir/{n}" for n in range(9)]
    fill(here, {name: name.encode() * 100 for name in names})

    assert moved(here, storage).summary.status == "done"

    assert were_closed == dict.fromkeys(names, True)


def test_what_is_looked_at_once_more_is_then_replaced_by_itself(add: Add) -> None:
    here = add("from", "disk")
    fill(here, {f"dir/{n}": bytes(100) for n in range(5)})
    add("to", "grid")
    copy("from", "to")
    for n in range(5):
        overwrite(here, f"dir/{n}", bytes(200))

    with requests_sent() as requests:
        done = copy("from", "to", "--keep-newer", "--json")

    assert done.counts == {"copied": 5}
    assert requests.verbs.count("POST") == 5


def test_a_prefix_spares_the_other_directories(add: Add) -> None:
    fill(add("from", "grid"), {f"{n}/{m}/x": b"content" for n in "ab" for m in "cd"})
    add("to", "memory")

    with requests_sent() as requests:
        assert copy("from", "to", "--prefix", "a/c", "--json").counts == {"copied": 1}

    # The directory of the prefix, and the one in it that begins so; each once.
    assert requests.verbs == ["GET"] * 2


def test_a_bucket_is_asked_by_pages_and_once_for_each_copy() -> None:
    here, there = Bucket(), Bucket()
    for number in range(9):
        here.put(f"{number}", b"content")
        if number % 3:
            there.put(f"{number}", b"content")

    moved(here, there)

    # Twice three pages: the names before, and then the files.
    assert here.asked.count("page") == 6
    assert here.asked.count("fetch") == here.asked.count("stat") == 3
    assert sorted(set(there.asked)) == ["page", "put"]
    assert there.asked.count("page") == 2


def test_only_a_few_files_wait_for_their_turn() -> None:
    go, given = threading.Event(), threading.Semaphore(0)
    done: list[int] = []

    def task(number: int) -> None:
        go.wait(PATIENCE)
        done.append(number)

    def give() -> None:
        with WorkerThreads(2, go.set) as workers:
            for number in range(10):
                workers.do(task, number)
                given.release()

    giver = threading.Thread(target=give)
    giver.start()
    try:
        for _ in range(4):
            assert given.acquire(timeout=PATIENCE)
        assert not given.acquire(timeout=0.2)
    finally:
        go.set()
        giver.join(PATIENCE)
    assert sorted(done) == [*range(10)]


def test_what_waits_is_dropped_when_the_block_fails() -> None:
    stopped = threading.Event()
    begun, done = threading.Semaphore(0), []

    def task(number: int) -> None:
        begun.release()
        stopped.wait(PATIENCE)
        done.append(number)

    def give() -> None:
        with WorkerThreads(2, stopped.set) as workers:
            for number in range(4):
                workers.do(task, number)
            for _ in range(2):
                assert begun.acquire(timeout=PATIENCE)
            raise OSError("the listing breaks off")

    with pytest.raises(OSError, match="breaks off"):
        give()
    # Those under way have ended when the block has, and the others never began.
    assert len(done) == 2
    assert not begun.acquire(timeout=0)


PEAK = """
import re, sys
import django
from django.core.management import call_command
django.setup()
def peak():
    # Not ru_maxrss, which begins with what the parent had.
    status = open("/proc/self/status").read()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) << 10
source, target = sys.argv[1:]
call_command("storage_copy", source, target, prefix="small", verify=True, verbosity=0)
before = peak()
call_command("storage_copy", source, target, prefix="large", verify=True, verbosity=0)
print(peak() - before)
"""


@pytest.mark.parametrize(("source", "target"), [("from", "disk"), ("from", "grid")])
def test_a_large_file_is_not_held_in_memory(
    source: str, target: str, site: Path
) -> None:
    size = 64 << 20
    with (site / "from" / "large").open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    (site / "from" / "small").write_bytes(os.urandom(2 << 20))
    grown = []
    for sides in ((source, target), (target, source)):
        run = subprocess.run(
            [sys.executable, "-c", PEAK, *sides],
            cwd=site,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        grown.append(int(run.stdout.splitlines()[-1]))
        if target == sides[1]:
            (site / "from" / "large").unlink()
    assert (site / "from" / "large").stat().st_size == size
    print("GROWN", grown)
    assert max(grown) < size // 4


def disk_usage(grid: LocalGrid) -> int:
    """What the shares take; not the 1,024 directories at most that all share."""
    shares = grid.directory / "node" / "storage" / "shares"
    return sum(path.stat().st_blocks * 512 for path in shares.glob("*/**/*"))


def test_the_space_on_a_grid_is_estimated_well(add: Add, tahoe_grid: LocalGrid) -> None:
    sizes = [10, 55, 56, 1_000, 5_000, 20_000, 131_072, 1 << 20, 3_000_000]
    fill(
        add("from", "disk"),
        {f"d{n % 4}/e/{n}.bin": os.urandom(sizes[n % len(sizes)]) for n in range(72)},
    )
    add("to", "grid")
    encoding = tahoe_grid.encoding
    shares = f"{encoding.needed}/{encoding.total}"

    dry = copy("from", "to", "--dry-run", "--json", "--shares", shares)
    before = disk_usage(tahoe_grid)
    copy("from", "to")
    used = disk_usage(tahoe_grid) - before

    assert dry.json["space"]["shares"] == shares
    assert dry.json["space"]["bytes"] == pytest.approx(used, rel=0.05)


def test_small_files_take_what_a_share_takes_at_least(
    add: Add, tahoe_grid: LocalGrid
) -> None:
    fill(add("from", "disk"), {f"{n}": os.urandom(200) for n in range(60)})
    add("to", "grid")

    dry = copy("from", "to", "--dry-run", "--json", "--shares", "1/1")
    before = disk_usage(tahoe_grid)
    copy("from", "to")

    used = disk_usage(tahoe_grid) - before
    assert dry.json["space"]["bytes"] == pytest.approx(used, rel=0.1)


EXACT = """
import json
from allmydata.hashtree import IncompleteHashTree
from allmydata.immutable.layout import WriteBucketProxy
from allmydata.storage.immutable import ShareFile

def exact(size, needed, total):
    segment = -(-min(size, 1 << 20) // needed) * needed
    chain = len(IncompleteHashTree(total).needed_hashes(0, include_leaf=True))
    parts = -(-size // needed), segment // needed, -(-size // segment), chain
    share = WriteBucketProxy(None, None, *parts, uri_extension_size=320)
    return share.get_allocated_size() + 12 + ShareFile.LEASE_SIZE

sizes = [56, 10_000, (1 << 20) + 1, 5_000_000, 20 << 20]
encodings = [(1, 1), (2, 3), (3, 10), (7, 20)]
cases = [(size, *encoding) for size in sizes for encoding in encodings]
print(json.dumps([(case, exact(*case)) for case in cases]))
"""


def test_a_share_is_as_large_as_tahoe_makes_it() -> None:
    # Importing it warns of this and that.
    run = subprocess.run(
        [sys.executable, "-c", EXACT], capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    assert len(found) == 20
    for (size, needed, total), exact in found:
        assert Spread(needed, total).share(size) == pytest.approx(exact, abs=60)
