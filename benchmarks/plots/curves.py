"""What the plots show: seconds of one action, by depth, directory, size and workers.

Each function yields the name of a line, the place on the x axis, and the seconds of
each round. All lines are measured in turns at a place, so that what else the machine
does hits all alike.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import quote

import requests
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from storages.backends.s3 import S3Storage as DjangoStorages

from benchmarks.plots.distant import distant_servers
from benchmarks.rows import seconds
from benchmarks.small import LITTLE_MEMORY, storage_on
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.support.s3_servers import S3Server, running_weed

Points = Iterator[tuple[str, int, list[float]]]
Call = Callable[[], object]

FIRST = "first look of a process"
FROM_DISK = "from the cache on disk"
FROM_MEMORY = "from memory"
WALK = "a client that walks level by level"
FILES = "FileSystemStorage"
OURS = "TahoeStorage"
DJANGO_STORAGES = "django-storages (S3)"
CURL = "curl"
TAHOE_CP = "tahoe cp"
SAVE_MANY = "TahoeStorage.save_many"

DEPTHS = (1, 2, 3, 4, 6)
NAMES = 100  # in each directory of the path
DIRECTORIES = (10, 100, 1_000, 10_000)
SIZES = tuple(10**power for power in range(3, 8))
WORKERS = (1, 2, 4, 8)
FILES_OF_WORKERS = 64
SMALL = 10_000  # bytes
ROUND_TRIP = 0.040  # seconds to the storage servers
# Of calls that take microseconds, one sample is of so many.
REPEATED = 200
LITERAL = "URI:LIT:nbswy3dp"


def by_depth(work: Path, rounds: int) -> Points:
    """Whether a name is there, so many levels down."""
    with LocalGrid() as grid:
        yield from _by_depth(grid, work, rounds)


def by_depth_far(work: Path, rounds: int) -> Points:
    """The same with 40 ms between the gateway and the servers."""
    with distant_servers(ROUND_TRIP) as grid:
        yield from _by_depth(grid, work, rounds)


def _by_depth(grid: LocalGrid, work: Path, rounds: int) -> Points:
    root = grid.create_root()
    files = FileSystemStorage(work / "files")
    path, cap = "", root.uri
    for level in range(1, max(DEPTHS) + 1):
        fill(grid, cap, NAMES)
        path += "down/"
        cap = make_directory(grid, cap, "down")
        files.save(f"{path}{NAMES // 2:06}.bin", ContentFile(b"x"))
        if level not in DEPTHS:
            continue
        fill(grid, cap, NAMES)
        name = f"{path}{NAMES // 2:06}.bin"
        calls = cached_looks(grid, root, work / f"depth-{level}", name)
        calls[WALK] = partial(walk, grid, root, name)
        calls[FILES] = partial(files.exists, name)
        yield from in_turns(calls, level, rounds)


def by_directory(work: Path, rounds: int) -> Points:
    """Whether a name is there, in a directory of so many."""
    with LocalGrid() as grid, running_weed(work) as weed:
        files = FileSystemStorage(work / "files")
        objects = django_storages(weed)
        for count in DIRECTORIES:
            root = grid.create_root()
            fill(grid, make_directory(grid, root.uri, "down"), count)
            name = f"down/{count // 2:06}.bin"
            for number in range(count):
                Path(files.path(f"{count}/{number:06}.bin")).parent.mkdir(
                    parents=True, exist_ok=True
                )
                Path(files.path(f"{count}/{number:06}.bin")).touch()
            objects.save(f"{count}/one.bin", ContentFile(b"x"))
            calls = cached_looks(grid, root, work / f"directory-{count}", name)
            calls[WALK] = partial(walk, grid, root, name)
            calls[FILES] = partial(files.exists, f"{count}/{count // 2:06}.bin")
            calls[DJANGO_STORAGES] = partial(objects.exists, f"{count}/one.bin")
            yield from in_turns(calls, count, rounds)


def saves_by_size(work: Path, rounds: int) -> Points:
    """A file of so many bytes saved by a new name, three levels down."""
    with LocalGrid() as grid, running_weed(work) as weed:
        root = grid.create_root()
        storages = three_storages(grid, root, work, weed)
        command = tahoe_cp(grid, root, work)
        for size in SIZES:
            content = secrets.token_bytes(size)
            source = work / "source"
            source.write_bytes(content)
            calls: dict[str, Call] = {
                line: partial(save_new, storage, content)
                for line, storage in storages.items()
            }
            calls[CURL] = partial(curl_up, grid, root, source)
            calls[TAHOE_CP] = partial(command, source, "grid:")
            yield from in_turns(calls, size, rounds)


def reads_by_size(work: Path, rounds: int) -> Points:
    """A file of so many bytes opened and read."""
    with LocalGrid() as grid, running_weed(work) as weed:
        root = grid.create_root()
        storages = three_storages(grid, root, work, weed)
        command = tahoe_cp(grid, root, work)
        target = work / "target"
        for size in SIZES:
            content, name = secrets.token_bytes(size), f"a/b/c/{size}.bin"
            calls: dict[str, Call] = {}
            for line, storage in storages.items():
                storage.save(name, ContentFile(content))
                calls[line] = partial(read, storage, name, size)
            place = f"{grid.base_url}/uri/{quote(root.uri, safe='')}/{name}"
            calls[CURL] = partial(curl, "--output", str(target), place)
            calls[TAHOE_CP] = partial(command, f"grid:{name}", target)
            yield from in_turns(calls, size, rounds)


def by_workers(work: Path, rounds: int) -> Points:
    """One of 64 files of 10 KB, saved into one directory by so many threads."""
    with LocalGrid() as grid, running_weed(work) as weed:
        root = grid.create_root()
        storages = three_storages(grid, root, work, weed)
        ours = storage_on(grid, root, work / "cache")
        command = tahoe_cp(grid, root, work)
        source = work / "sources"
        source.mkdir()
        for number in range(FILES_OF_WORKERS):
            (source / f"{number}.bin").write_bytes(secrets.token_bytes(SMALL))
        for workers in WORKERS:
            calls: dict[str, Call] = {
                line: partial(save_by_threads, storage, workers)
                for line, storage in storages.items()
            }
            calls[SAVE_MANY] = partial(save_many, ours, workers)
            calls[CURL] = partial(curl_all, grid, root, source, workers)
            if workers == 1:
                calls[f"{TAHOE_CP} -r"] = partial(
                    lambda: command("-r", source, f"grid:{secrets.token_hex(4)}")
                )
            for line, x, taken in in_turns(calls, workers, rounds):
                yield line, x, [each / FILES_OF_WORKERS for each in taken]


def in_turns(calls: Mapping[str, Call], x: int, rounds: int) -> Points:
    """Yield the seconds of one call, of each line; the first round is not counted."""
    taken: dict[str, list[float]] = {line: [] for line in calls}
    for number in range(rounds + 1):
        for line, call in calls.items():
            times = REPEATED if line in (FROM_MEMORY, FROM_DISK, FILES) else 1
            if times > 1 and seconds(call) > 1e-3:
                times = 1
            each = seconds(partial(repeat, call, times)) / times
            if number:
                taken[line].append(each)
    for line, rounds_of_it in taken.items():
        yield line, x, rounds_of_it


def repeat(call: Call, times: int) -> None:
    """Call so many times."""
    for _ in range(times):
        call()


def cached_looks(grid: LocalGrid, root: Cap, work: Path, name: str) -> dict[str, Call]:
    """Return looks at a name, without a cache, from disk, and from memory."""
    stale = storage_on(grid, root, work / "first", lifetime=1e-6)
    from_disk = storage_on(grid, root, work / "kept", memory_entries=LITTLE_MEMORY)
    from_memory = storage_on(grid, root, work / "kept")
    calls: dict[str, Call] = {
        FIRST: partial(stale.exists, name),
        FROM_DISK: partial(from_disk.exists, name),
        FROM_MEMORY: partial(from_memory.exists, name),
    }
    if not all(call() for call in calls.values()):
        raise RuntimeError("a name that is there was not found")
    return calls


def walk(grid: LocalGrid, root: Cap, name: str) -> None:
    """Look a name up as a client without a cache does: each directory is read whole."""
    cap = root.uri
    for level in name.split("/"):
        url = f"{grid.base_url}/uri/{quote(cap, safe='')}?t=json"
        child = WALKER.get(url, timeout=600).json()[1]["children"][level][1]
        cap = child["ro_uri"]


WALKER = requests.Session()
WALKER.trust_env = False


def fill(grid: LocalGrid, cap: str, count: int) -> None:
    """Link so many small files into a directory by one request."""
    children = {
        f"{number:06}.bin": ["filenode", {"ro_uri": LITERAL, "metadata": {}}]
        for number in range(count)
    }
    url = f"{grid.base_url}/uri/{quote(cap, safe='')}?t=set_children"
    WALKER.post(url, data=json.dumps(children), timeout=600).raise_for_status()


def make_directory(grid: LocalGrid, cap: str, name: str) -> str:
    """Make a directory in another one, and return its write cap."""
    url = f"{grid.base_url}/uri/{quote(cap, safe='')}?t=mkdir&name={name}"
    response = WALKER.post(url, timeout=600)
    response.raise_for_status()
    return response.text.strip()


def three_storages(
    grid: LocalGrid, root: Cap, work: Path, weed: S3Server
) -> dict[str, Storage]:
    """Return ours, and two of others, each with three levels of directories."""
    storages: dict[str, Storage] = {
        OURS: storage_on(grid, root, work / "cache"),
        DJANGO_STORAGES: django_storages(weed),
        FILES: FileSystemStorage(work / "files"),
    }
    for storage in storages.values():
        storage.save("a/b/c/first.bin", ContentFile(b"x" * 100))
    return storages


def django_storages(weed: S3Server) -> Storage:
    """Return a storage of django-storages on a new bucket, that overwrites nothing."""
    storage: Storage = DjangoStorages(
        **weed.options, bucket_name=weed.make_bucket(), file_overwrite=False
    )
    return storage


def save_new(storage: Storage, content: bytes) -> None:
    """Save content by a new name."""
    storage.save(f"a/b/c/{secrets.token_hex(8)}.bin", ContentFile(content))


def save_by_threads(storage: Storage, workers: int) -> None:
    """Save the files into a new directory, each by one call."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda pair: storage.save(*pair), small_files()))


def save_many(storage: TahoeStorage, workers: int) -> None:
    """The same by one call for all."""
    list(storage.save_many(small_files(), jobs=workers))


def small_files() -> Iterator[tuple[str, ContentFile[bytes]]]:
    """Yield names in a directory that is new each time, and contents."""
    directory = f"a/b/{secrets.token_hex(8)}"
    for number in range(FILES_OF_WORKERS):
        yield f"{directory}/{number}.bin", ContentFile(secrets.token_bytes(SMALL))


def read(storage: Storage, name: str, size: int) -> None:
    """Read a file whole."""
    with storage.open(name) as file:
        if len(file.read()) != size:
            raise RuntimeError("a file is shorter than it was")


def curl(*arguments: str) -> None:
    """Run curl."""
    command = ["curl", "--no-progress-meter", "--fail", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def curl_up(grid: LocalGrid, root: Cap, source: Path) -> None:
    """Put a file by a new name below the root."""
    place = f"{grid.base_url}/uri/{quote(root.uri, safe='')}/a/b/c"
    name = f"{secrets.token_hex(8)}.bin?replace=false"
    curl("--upload-file", str(source), f"{place}/{name}")


def curl_all(grid: LocalGrid, root: Cap, source: Path, workers: int) -> None:
    """Put all files of a folder onto the grid, without names, so many at a time."""
    addresses = []
    for file in source.iterdir():
        addresses += ["--upload-file", str(file), f"{grid.base_url}/uri"]
    curl("--parallel", "--parallel-max", str(workers), *addresses)


def tahoe_cp(grid: LocalGrid, root: Cap, work: Path) -> Callable[..., None]:
    """Return a function that runs ``tahoe cp``; the root is its alias ``grid:``."""
    node = work / "tahoe"
    private = node / "private"
    private.mkdir(parents=True)
    (node / "node.url").write_text(f"{grid.base_url}/\n")
    (private / "aliases").write_text(f"grid: {root.uri}\n")
    tahoe = Path(sysconfig.get_path("scripts"), "tahoe")

    def run(*arguments: object) -> None:
        *options, target = (str(each) for each in arguments)
        if target == "grid:":
            target = f"grid:a/b/c/{secrets.token_hex(8)}.bin"
        with contextlib.chdir(work):
            subprocess.run(
                [str(tahoe), "-d", str(node), "cp", *options, target],
                check=True,
                capture_output=True,
            )

    return run


PLOTS: dict[str, Callable[[Path, int], Points]] = {
    "depth": by_depth,
    "depth-far": by_depth_far,
    "directory": by_directory,
    "saves": saves_by_size,
    "reads": reads_by_size,
    "workers": by_workers,
}
