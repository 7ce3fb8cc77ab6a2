"""Names and small files: the cache beside a file system, and a save beside a PUT."""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage

from benchmarks.rows import (
    Row,
    at_most,
    best_of_each,
    median_of_each,
    seconds,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid

LEVELS = ("one", "two", "three", "four", "five", "six")
# Room for where a path leads, and for no page of ten names: those come from disk.
LITTLE_MEMORY = 5


def storage_on(
    grid: LocalGrid, root: Cap, cache: Path, **cache_options: object
) -> TahoeStorage:
    """Return a storage with its cache in ``cache``."""
    return TahoeStorage(
        base_url=grid.base_url,
        base_cap=root.uri,
        public_base_url="http://127.0.0.1:3456",
        cache={"directory": str(cache), **cache_options},
    )


def saves(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """A save into a cached directory, beside one PUT by name."""
    root = grid.create_root()
    storage = storage_on(grid, root, work / "saves")
    storage.listdir("")
    plain = grid.create_root()
    count = itertools.count()
    session = requests.Session()
    address = f"{grid.base_url}/uri/{quote(plain.uri, safe='')}"

    def save() -> None:
        content = ContentFile(secrets.token_bytes(10_000))
        storage.save(f"{next(count)}.bin", content)

    def put() -> None:
        name = f"{next(count)}.bin"
        body = secrets.token_bytes(10_000)
        session.put(f"{address}/{name}?replace=false", data=body).raise_for_status()

    taken = median_of_each({"save": save, "put": put}, rounds=40)
    beside = f"save {taken['save'] * 1e3:.1f} ms, PUT {taken['put'] * 1e3:.1f} ms"
    ratio = taken["save"] / taken["put"]
    yield at_most("save of 10 kB, in times of one PUT", ratio, "x", 1.1, beside)


def lookups(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Cached names in a small directory, beside a file system."""
    root = grid.create_root()
    writer = storage_on(grid, root, work / "lookups-writer")
    files = FileSystemStorage(work / "files", base_url="/media/")
    for number in range(10):
        name = f"photos/{number}.jpg"
        for each in (writer, files):
            each.save(name, ContentFile(b"x" * 100))
    from_memory = storage_on(grid, root, work / "lookups")
    from_disk = storage_on(grid, root, work / "lookups", memory_entries=LITTLE_MEMORY)
    name = "photos/5.jpg"
    for storage in (from_memory, from_disk):
        storage.url(name)
    for verb in ("url", "exists"):
        calls = {
            "memory": partial(getattr(from_memory, verb), name),
            "disk": partial(getattr(from_disk, verb), name),
            "files": partial(getattr(files, verb), name),
        }
        taken = best_of_each(calls, rounds=500)
        for tier, bound in (("memory", 1), ("disk", 10)):
            beside = (
                f"{taken[tier] * 1e6:.1f} us, "
                f"FileSystemStorage {taken['files'] * 1e6:.1f} us"
            )
            ratio = taken[tier] / taken["files"]
            label = f"warm {verb}() from {tier}, in times of FileSystemStorage"
            yield at_most(label, ratio, "x", bound, beside)


COUNTS = (10, 300)
THREADS = 8
VERBS = ("exists", "size", "url", "get_modified_time")
_READER = """
import json, sys
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, USE_TZ=True, INSTALLED_APPS=["tahoestorage"])
import django
django.setup()
from benchmarks.small import read_there
print(json.dumps(read_there(json.loads(sys.stdin.read()))))
"""


def deep_lookups(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Cached names of a directory, some levels down, one by one.

    In the process that wrote them and in another one, by one thread and by several.
    """
    for levels, count in itertools.product((1, 3, 6), COUNTS):
        folder = work / f"levels-{levels}-{count}"
        root = grid.create_root()
        storage = storage_on(grid, root, folder / "cache")
        files = FileSystemStorage(folder / "files", base_url="/media/")
        directory = "/".join(LEVELS[:levels])
        names = [f"{directory}/{number:03}.jpg" for number in range(count)]
        for each in (storage, files):
            each.save(names[0], ContentFile(b"x" * 100))
        for name in names[1:]:
            storage.copy(names[0], name)
            files.save(name, ContentFile(b"x" * 100))
        place = f"{count} names {levels} levels down"
        yield from _in_both_processes(grid, root, storage, files, folder, names, place)


def _in_both_processes(
    grid: LocalGrid,
    root: Cap,
    storage: TahoeStorage,
    files: FileSystemStorage,
    folder: Path,
    names: list[str],
    place: str,
) -> Iterator[Row]:
    given = {
        "base_url": grid.base_url,
        "root": root.uri,
        "folder": str(folder),
        "names": names,
    }
    there = subprocess.run(
        [sys.executable, "-c", _READER],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    for where, found in (
        ("that wrote", timed(storage, files, names)),
        ("that did not", json.loads(there.stdout)),
    ):
        yield from _beside_files(found, f"{place}, process {where}")


Timed = list[tuple[str, int, float, float]]
"""A verb, the number of threads, and the seconds that a name takes on the storage and
on FileSystemStorage."""


def timed(storage: TahoeStorage, files: FileSystemStorage, names: list[str]) -> Timed:
    """Return how long each verb takes, when all was asked for once before."""
    found = []
    for verb, threads in itertools.product(VERBS, (1, THREADS)):
        with ThreadPoolExecutor(threads) as pool:
            parts = [names] * threads
            calls = {
                who: partial(call_in, pool, getattr(each, verb), parts)
                for who, each in (("ours", storage), ("files", files))
            }
            for call in calls.values():
                call()
            taken = best_of_each(calls, rounds=30 if len(names) < MANY else 5)
        all_ = len(names) * threads
        found.append((verb, threads, taken["ours"] / all_, taken["files"] / all_))
    return found


def read_there(given: dict[str, Any]) -> Timed:
    """Return what ``timed`` does for a storage that has written nothing."""
    folder = Path(given["folder"])
    storage = TahoeStorage(
        base_url=given["base_url"],
        base_cap=given["root"],
        public_base_url="http://127.0.0.1:3456",
        cache={"directory": str(folder / "cache")},
    )
    files = FileSystemStorage(folder / "files", base_url="/media/")
    return timed(storage, files, given["names"])


def _beside_files(found: Timed, place: str) -> Iterator[Row]:
    for verb, threads, ours, theirs in found:
        beside = f"{ours * 1e6:.1f} us, FileSystemStorage {theirs * 1e6:.1f} us"
        label = f"warm {verb}() of {place}, threads: {threads}"
        yield at_most(label, ours / theirs, "x", 1, beside)


PASS = 1_000


def first_passes(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Names that another process has kept on disk, each asked for once.

    The cache was opened before. In each round it is a storage with a memory of its own.
    """
    root, folder = grid.create_root(), work / "first-passes"
    writer = storage_on(grid, root, folder / "writer")
    files = FileSystemStorage(folder / "files", base_url="/media/")
    names = _linked(writer, files, PASS, "photos")
    # From a listing, as on a host that did not write it.
    storage_on(grid, root, folder / "cache").exists(names[0])
    # Other than the default, by which that one has a memory with the name in it.
    rooms = itertools.count(13_000)
    for verb in VERBS:
        best = {"ours": float("inf"), "files": float("inf")}
        for _ in range(15):
            reader = storage_on(
                grid, root, folder / "cache", memory_entries=next(rooms)
            )
            reader.exists("photos")
            for who, storage in (("ours", reader), ("files", files)):
                call = partial(call_each, getattr(storage, verb), names)
                best[who] = min(best[who], seconds(call) / PASS)
        beside = (
            f"{best['ours'] * 1e6:.1f} us, "
            f"FileSystemStorage {best['files'] * 1e6:.1f} us"
        )
        label = f"first {verb}() of {PASS:,} names from disk, x FileSystemStorage"
        yield at_most(label, best["ours"] / best["files"], "x", 4, beside)


MANY = 10_000


def many_names(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Cached names of directories of many, some levels down: see ``deep_lookups``."""
    for levels in (1, 3, 6):
        folder = work / f"many-names-{levels}"
        root = grid.create_root()
        storage = storage_on(grid, root, folder / "cache")
        files = FileSystemStorage(folder / "files", base_url="/media/")
        names = _linked(storage, files, MANY, "/".join(LEVELS[:levels]))
        place = f"{MANY:,} names {levels} levels down"
        yield from _in_both_processes(grid, root, storage, files, folder, names, place)


def _linked(
    storage: TahoeStorage, files: FileSystemStorage, count: int, directory: str
) -> list[str]:
    """Return names of one file in a directory of so many, in both storages."""
    storage.save("file", ContentFile(b"x" * 100))
    cap = Cap.parse(storage.file_entry("file").reference)
    names = [f"{directory}/{number:05}.jpg" for number in range(count)]
    refused = storage.link_together(dict.fromkeys(names, cap))
    if refused:
        raise RuntimeError(f"{len(refused)} names were not linked")
    Path(files.path(directory)).mkdir(parents=True)
    for name in names:
        Path(files.path(name)).touch()
    return names


def call_in(
    pool: Executor, call: Callable[[str], object], parts: list[list[str]]
) -> None:
    """Call with each name, one part in each thread."""
    list(pool.map(partial(call_each, call), parts))


def call_each(call: Callable[[str], object], names: list[str]) -> None:
    """Call with each name."""
    for name in names:
        call(name)


def ask(storage: TahoeStorage, names: list[str]) -> None:
    """Ask for each name."""
    for name in names:
        storage.exists(name)


def large_directory(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """Names of a directory of 10,000, each for the first time in the process."""
    root = grid.create_root()
    names = [f"{number:05}.txt" for number in range(10_000)]
    children = {
        name: ["filenode", {"ro_uri": "URI:LIT:nbswy3dp", "metadata": {}}]
        for name in names
    }
    address = f"{grid.base_url}/uri/{quote(root.uri, safe='')}?t=set_children"
    requests.post(address, data=json.dumps(children), timeout=600).raise_for_status()
    storage = storage_on(grid, root, work / "large")
    cold = seconds(lambda: storage.exists(names[0]))
    best = float("inf")
    for start in range(1, 5001, 50):
        some = names[start : start + 50]
        taken = seconds(partial(ask, storage, some))
        best = min(best, taken / len(some))
    beside = f"the first one, which lists all: {cold:.2f} s"
    yield at_most("a next name among 10,000, from disk", best * 1e6, "us", 30, beside)


def cold_lookup(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """A first look at a name 6 levels down, beside a walk level by level."""
    root = grid.create_root()
    writer = storage_on(grid, root, work / "cold-writer")
    directory = "/".join(LEVELS)
    writer.save(f"{directory}/file.txt", ContentFile(b"x" * 100))
    session = requests.Session()
    # Everything cached is stale at once: each look-up is a first one.
    storage = storage_on(grid, root, work / "cold", lifetime=1e-6)
    storage.exists(f"{directory}/file.txt")

    def walk() -> None:
        cap = root.uri
        for level in (*LEVELS, "file.txt"):
            url = f"{grid.base_url}/uri/{quote(cap, safe='')}?t=json"
            children = session.get(url).json()[1]["children"]
            cap = children[level][1]["ro_uri"]

    def cold() -> None:
        if not storage.exists(f"{directory}/file.txt"):
            raise RuntimeError("a name that is there was not found")

    taken = median_of_each({"cold": cold, "walk": walk}, rounds=15)
    beside = f"cold {taken['cold'] * 1e3:.1f} ms, walk {taken['walk'] * 1e3:.1f} ms"
    ratio = taken["cold"] / taken["walk"]
    label = "cold exists() 6 levels down, in times of a walk by levels"
    yield at_most(label, ratio, "x", 1.0, beside)
