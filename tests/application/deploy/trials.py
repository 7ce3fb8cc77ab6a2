"""What an instance goes through: it is stopped, its disk is small, it is one of many.

The tests do a little of each, ``python -m benchmarks.application deploy`` all.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import requests

from tests.application.deploy.cloud import PATIENCE, Cloud, Service, service
from tests.application.site import Environment, manage
from tests.support.gcs_servers import GCS

PIECES = 20
FILE = 128_000
"""Bytes of each file on a small disk: its content is one that is cached."""
SPILLED = 4 << 20
"""Bytes of an upload that Django keeps in a temporary file."""
LEFT = 1 << 18
"""Bytes that a small disk may have at the end beside the cache: fewer than these."""


@dataclass
class Stopped:
    """What became of uploads during which the instance was told to end."""

    under_way: int = 0
    """Uploads that the site said it was receiving, just before SIGTERM."""
    seconds: float = 0.0
    """From SIGTERM to the end of the process."""
    status: int = -1
    acknowledged: int = 0
    unanswered: int = 0
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not there, or not whole."""
    broken: list[str] = field(default_factory=list)
    """Not acknowledged, and there, but not whole."""
    pending: list[str] = field(default_factory=list)
    """Still said to be under way after a sweep."""
    without_row: list[str] = field(default_factory=list)
    """Objects in the bucket, after a sweep, that are no file of the site."""


def stop_during_uploads(
    cloud: Cloud,
    gcs: GCS,
    directory: Path,
    *,
    uploads: int,
    pause: float,
    seed: int = 1,
) -> Stopped:
    """Send SIGTERM once one of so many was stored; a quarter never come to an end.

    There are fewer of these than threads, so that others get through: by pieces, with
    so many seconds before each. One of the quarter is under way by then. The grace is
    the entry point's own. Another instance and a sweep look at what there is then.
    """
    chance, found = random.Random(seed), Stopped()
    prefix = f"stopped-{seed}"
    bodies = [
        [chance.randbytes(chance.randrange(100, 50_000)) for _ in range(PIECES)]
        for _ in range(uploads)
    ]
    endless = {f"{number}.bin" for number in range(3, uploads, 4)}
    answers: dict[int, int] = {}
    acknowledged, ended = threading.Event(), threading.Event()

    with service(cloud.environment, directory / "first") as run:
        run.sign_in(cloud.environment)

        def upload(number: int) -> None:
            end = ended if f"{number}.bin" in endless else None
            body = SlowBody(bodies[number], pause, end)
            try:
                made = run.put(f"{prefix}/{number}.bin", body)
            except requests.RequestException:
                return
            answers[number] = made.status_code
            if made.status_code == 201:
                acknowledged.set()

        threads = [
            threading.Thread(target=upload, args=(number,)) for number in range(uploads)
        ]
        for thread in threads:
            thread.start()
        assert acknowledged.wait(120)
        until = time.monotonic() + PATIENCE
        while not found.under_way and time.monotonic() < until:
            found.under_way = len(_objects(run, prefix, "pending").keys() & endless)
        begun = time.monotonic()
        run.process.send_signal(signal.SIGTERM)
        found.status = run.process.wait(60)
        found.seconds = time.monotonic() - begun
        ended.set()
        for thread in threads:
            thread.join()
    with service(cloud.environment, directory / "second") as run:
        run.sign_in(cloud.environment)
        ids = _objects(run, prefix, "stored")
        for number, pieces in enumerate(bodies):
            name = f"{number}.bin"
            is_there = name in ids
            whole = is_there and run.content(ids[name]) == b"".join(pieces)
            if answers.get(number) in (200, 201):
                found.acknowledged += 1
                if not whole:
                    found.lost.append(name)
            else:
                found.unanswered += number not in answers
                if is_there and not whole:
                    found.broken.append(name)
        found.without_row = swept(cloud, gcs)
        found.pending = [*_objects(run, prefix, "pending")]
    return found


def _objects(run: Service, folder: str, state: str) -> dict[str, str]:
    """Return the ids by the names; an upload under way has a row that is pending."""
    found = run.get(f"/api/v1/objects/?folder={folder}&limit=100").json()["results"]
    return {one["name"]: one["id"] for one in found if one["state"] == state}


class SlowBody:
    """A body of known length that is sent piece by piece, with pauses of seconds.

    Its last piece is sent only after ``end``, where there is one.
    """

    def __init__(
        self, pieces: list[bytes], pause: float, end: threading.Event | None
    ) -> None:
        self._pieces, self._pause, self._end = list(pieces), pause, end
        self._length = sum(map(len, pieces))

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        time.sleep(self._pause)
        if len(self._pieces) == 1 and self._end:
            self._end.wait(120)
        return self._pieces.pop(0) if self._pieces else b""


def swept(cloud: Cloud, gcs: GCS) -> list[str]:
    """Sweep twice, as if a day had passed, and return what is no file of the site."""
    for _ in range(2):
        manage(cloud.environment, "objects_sweep", "--older-than=0", "--force")
    return objects_without_row(cloud, gcs)


def objects_without_row(cloud: Cloud, gcs: GCS) -> list[str]:
    code = (
        "import json; from objects.models import Version;"
        "print(json.dumps(list(Version.objects.values_list('key', flat=True))))"
    )
    said = manage(cloud.environment, "shell", "--no-imports", "-c", code)
    known = set(json.loads(said.splitlines()[-1]))
    names = gcs.names(cloud.bucket)
    return sorted(name for name in names if name not in known)


@dataclass
class Disk:
    """What was done with a small disk, and what was on it, in bytes."""

    failures: list[str]
    most_in_cache: int = 0
    """At any of the times when it was looked at, which is after each few files."""
    contents: int = 0
    """Of the files' contents, at the end: a part of what is in the cache."""
    in_cache: int = 0
    """At the end."""
    on_disk: int = 0
    """All that is taken of the disk at the end."""
    spilled: int = 0
    """More than before, while an upload was under way that is kept on the disk."""


def use_small_disk(
    cloud: Cloud,
    directory: Path,
    *,
    files: int,
    megabytes: int,
    cache_limit: int,
    contents_limit: int,
) -> Disk:
    """Write and read so many files on an instance whose whole disk is that small.

    Their contents are cached, too, within the second limit.
    """
    environment = cloud.environment | {
        "TAHOE_STORAGE_CACHE_SIZE_LIMIT": str(cache_limit),
        "TAHOE_STORAGE_CACHE_CONTENT_SIZE_LIMIT": str(contents_limit),
        # It reads them itself: no bucket sends what visitors ask for.
        "PUBLIC_LINKS": "",
    }
    disk = directory / "disk"
    found = Disk([])
    with service(environment, disk, megabytes=megabytes) as run:
        # Only the process sees its tmpfs.
        seen = Path(f"/proc/{run.process.pid}/root") / disk.relative_to("/")

        def turn(number: int) -> None:
            content = hashlib.sha256(str(number).encode()).digest() * (FILE // 32)
            name = f"disk-{files}/{number % 50}/{number}.bin"
            made = run.put(name, content)
            if made.status_code != 201 or run.content(made.json()["id"]) != content:
                found.failures.append(f"{name}: {made.status_code}")

        for first in range(0, files, 20):
            # A token is good for five minutes.
            run.sign_in(cloud.environment)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(turn, range(first, min(first + 20, files))))
            found.most_in_cache = max(found.most_in_cache, _bytes_in(seen / "cache"))
        found.spilled = _spilled(run, seen, found.failures)
        # The form's file goes once the response has left.
        until = time.monotonic() + PATIENCE
        while _taken(seen) - _bytes_in(seen / "cache") >= LEFT:
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        found.contents = _bytes_in(seen / "cache" / "contents")
        found.in_cache = _bytes_in(seen / "cache")
        found.on_disk = _taken(seen)
    return found


def _spilled(run: Service, seen: Path, failures: list[str]) -> int:
    """Upload a form's file, and return how much of it was on the disk meanwhile.

    Its last bytes are sent when nearly all others are there.
    """
    before, most, ended = _taken(seen), 0, threading.Event()
    url = f"{run.address}/api/v1/objects/"
    file = {"file": ("spilled.bin", bytes(SPILLED))}
    form = requests.Request("POST", url, files=file, data={"folder": "disk"}).prepare()
    assert isinstance(form.body, bytes)
    body = SlowBody([form.body[:-1000], form.body[-1000:]], 0, ended)
    kind = {"Content-Type": form.headers["Content-Type"]}
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(run.visitor.post, url, data=body, headers=kind, timeout=120)
        until = time.monotonic() + PATIENCE
        # What it has read is written by pieces of 64 KiB.
        while most < SPILLED - (1 << 18) and time.monotonic() < until:
            most = max(most, _taken(seen) - before)
            time.sleep(0.02)
        ended.set()
        made = sent.result()
    if made.status_code != 201:
        failures.append(f"spilled.bin: {made.status_code}")
    return most


def _taken(disk: Path) -> int:
    """Return how much of a disk is taken, by files without a name, too."""
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _bytes_in(directory: Path) -> int:
    return sum(p.stat().st_blocks * 512 for p in directory.rglob("*") if p.is_file())


@dataclass
class Instances:
    """Requests to the bucket, by instance: of its first save, and of a later one."""

    cold: list[int]
    warm: list[int]
    without_row: list[str]


def start_and_save(
    cloud: Cloud, gcs: GCS, directory: Path, *, instances: int
) -> Instances:
    """Start so many, each with a cache of its own, and save a file twice by each."""
    found = Instances([], [], [])
    for number in range(instances):
        with service(cloud.environment, directory / f"disk-{number}") as run:
            run.sign_in(cloud.environment)
            for which, counts in (("cold", found.cold), ("warm", found.warm)):
                before = len(gcs.front.sent)
                made = run.put(f"instances/{which}-{number}.bin", b"x" * 1000)
                assert made.status_code == 201, made.text
                counts.append(len(gcs.front.sent) - before)
    found.without_row = objects_without_row(cloud, gcs)
    return found


def start_together(
    cloud: Cloud, gcs: GCS, directory: Path, *, instances: int
) -> Instances:
    """Start so many at once, and save a file twice by all of them, at once each time.

    The counts are of all of them: which instance sent a request is not to be seen.
    """
    found = Instances([], [], [])
    running: list[Service] = []

    def begin(number: int) -> None:
        disk = directory / f"together-{number}"
        running.append(stack.enter_context(service(cloud.environment, disk)))

    def save(number: int, which: str) -> None:
        made = running[number].put(f"together/{which}-{number}.bin", b"x" * 1000)
        assert made.status_code == 201, made.text

    with ExitStack() as stack, ThreadPoolExecutor(instances) as pool:
        list(pool.map(begin, range(instances)))
        for which, counts in (("cold", found.cold), ("warm", found.warm)):
            for run in running:
                run.sign_in(cloud.environment)
            before = len(gcs.front.sent)
            list(pool.map(partial(save, which=which), range(instances)))
            counts.append(len(gcs.front.sent) - before)
    found.without_row = objects_without_row(cloud, gcs)
    return found


@dataclass
class Start:
    """How long it took to begin, and what it occupies then."""

    seconds: float
    """From the start of the process to its first answer."""
    processor: float
    """Seconds of a processor that it took; the same on a busy machine."""
    resident: int
    """Bytes in memory, what processes share counted once."""


def start(
    environment: Environment, disk: Path, path: str = "/accounts/sign-in/"
) -> Start:
    begun = time.monotonic()
    with service(environment, disk) as run:
        answer = run.get(path)
        seconds = time.monotonic() - begun
        assert answer.status_code == 200, answer.text
        taken = processor(run)
        for _ in range(16):
            run.get(path)
        time.sleep(1)
        return Start(seconds, taken, resident(run))


def resident(run: Service) -> int:
    """Return the bytes in memory: each process's own, and once what they share.

    What other programs of the machine have mapped too is not divided by them: in a
    container there are none.
    """
    own, shared = 0, [0]
    for pid in processes(run.process.pid):
        sizes = _kibibytes(pid)
        private = sizes["Private_Clean"] + sizes["Private_Dirty"]
        own += private
        shared.append(sizes["Rss"] - private)
    return 1024 * (own + max(shared))


def processor(run: Service) -> float:
    """Return the seconds of a processor that it has taken up to now."""
    ticks = 0
    for pid in processes(run.process.pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # Its own, and its ended children's.
    return ticks / os.sysconf("SC_CLK_TCK")


def processes(pid: int) -> list[int]:
    """Return a process and those below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _with_those_below(child))]


def _with_those_below(pid: str) -> list[int]:
    try:
        return processes(int(pid))
    except (FileNotFoundError, ProcessLookupError):
        # It has ended since its parent named it.
        return []


def _kibibytes(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = (line.split() for line in lines)
    return {name.rstrip(":"): int(size) for name, size, *_ in found}
