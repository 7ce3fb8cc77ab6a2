"""``python -m benchmarks.gateways``: saves through two gateways, and what is lost.

Four processes of eight threads save six files each in a directory of a new day: 192
saves in a round, half of them by names that others want as well. Afterwards each file
that a save returned the name of must be there, with its content.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support.redis_server import RedisServer, running

PROCESSES, THREADS, SAVES = 4, 8, 6
REDIS = ("none", "usual", "evicting")
# Less than a few pages take, so that each write drops others.
LITTLE = ("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-random")

WORKER = """
import json, os, sys, threading
import django
from django.conf import settings
from django.core.files.base import ContentFile

settings.configure(USE_TZ=True, SECRET_KEY="x", **json.loads(os.environ["SETTINGS"]))
django.setup()
from tahoestorage.storage import TahoeStorage

storage = TahoeStorage()
print("ready", flush=True)
for line in sys.stdin:
    saves = json.loads(line)
    start, saved = threading.Barrier(len(saves)), [[] for _ in saves]

    def work(mine, done):
        start.wait()
        for name, content in mine:
            try:
                done.append(storage.save(name, ContentFile(content.encode())))
            except Exception as error:
                done.append({"error": type(error).__name__, "said": str(error)})

    threads = [threading.Thread(target=work, args=each) for each in zip(saves, saved)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(saved), flush=True)
"""


@dataclass
class GatewayFigures:
    """What became of the saves of some rounds."""

    saves: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    evicted: int = 0

    @property
    def saved(self) -> int:
        """How many saves returned a name of their own."""
        return self.saves - self.failed.total() - len(self.twice)

    def __str__(self) -> str:
        failed = ", ".join(f"{n} {kind}" for kind, n in self.failed.items()) or "none"
        times = ", ".join(f"{each:.1f}" for each in self.seconds)
        return (
            f"{self.saves} saves: {len(self.lost)} acknowledged ones lost, "
            f"{len(self.twice)} names given twice, failed: {failed}; "
            f"{self.evicted} keys evicted; seconds: {times}"
        )


class Writers:
    """Processes that save, every other one through another gateway."""

    def __init__(self, grid: LocalGrid, root: str, work: Path, redis_url: str | None):
        self._reader = TahoeStorage(
            base_url=grid.base_url, base_cap=root, cache=False, read_timeout=120
        )
        self._processes = []
        for number in range(PROCESSES):
            gateway = number % len(grid.base_urls)
            # Without a Redis a gateway's processes are those of one host.
            cache = {"directory": str(work / f"host {gateway}"), "redis": redis_url}
            settings = {
                "TAHOE_STORAGE_BASE_URL": grid.base_urls[gateway],
                "TAHOE_STORAGE_BASE_CAP": root,
                "TAHOE_STORAGE_CACHE": {k: v for k, v in cache.items() if v},
            }
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-c", WORKER],
                    env={**os.environ, "SETTINGS": json.dumps(settings)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for process in self._processes:
            _line(process)

    def save(self, directory: str, result: GatewayFigures, saves: int = SAVES) -> None:
        """Do one round below ``directory``, and look at what is there afterwards."""
        wanted = [
            [
                [_wanted(directory, process, thread, number) for number in range(saves)]
                for thread in range(THREADS)
            ]
            for process in range(PROCESSES)
        ]
        started = time.monotonic()
        for process, share in zip(self._processes, wanted, strict=True):
            if process.stdin is not None:
                process.stdin.write(json.dumps(share) + "\n")
                process.stdin.flush()
        saved = [json.loads(_line(process)) for process in self._processes]
        result.seconds.append(time.monotonic() - started)
        there: dict[str, str] = {}
        for mine, done in zip(_flat(wanted), _flat(saved), strict=True):
            result.saves += 1
            if isinstance(done, dict):
                result.failed[done["error"]] += 1
                result.errors.append(done["said"])
            elif done in there:
                result.twice.append(done)
            else:
                there[done] = mine[1]
        names: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            names.update(self._reader.listdir(directory)[1])
        for name, content in there.items():
            if name.rpartition("/")[2] not in names or self._read(name) != content:
                result.lost.append(name)

    def _read(self, name: str) -> str:
        with self._reader.open(name, "r") as file:
            return str(file.read())

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate()


def _wanted(directory: str, process: int, thread: int, number: int) -> tuple[str, str]:
    mine = f"{process}-{thread}-{number}"
    name = f"shared-{number}" if number % 2 else mine
    # Every third one is its own cap; equal ones would be one file.
    content = f"{mine} {secrets.token_hex(4 if number % 3 == 0 else 40)}"
    return f"{directory}/{name}.txt", content


def _flat(saves: list[list[list[Any]]]) -> list[Any]:
    return [each for process in saves for thread in process for each in thread]


def _line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline() if process.stdout is not None else ""


@contextlib.contextmanager
def redis_of(kind: str, directory: Path) -> Iterator[str | None]:
    """Run a Redis of a kind; the one that evicts has no room for what it is given."""
    if kind == "none":
        yield None
        return
    options = LITTLE if kind == "evicting" else ()
    with running(directory, *options) as server:
        stop = threading.Event()
        filler = threading.Thread(target=fill, args=(server, stop))
        if kind == "evicting":
            filler.start()
        try:
            yield server.url
        finally:
            stop.set()
            if kind == "evicting":
                filler.join()


def fill(server: RedisServer, stop: threading.Event) -> None:
    """Write to a Redis all the time, as others would that use it too."""
    with contextlib.closing(server.client()) as client:
        while not stop.wait(0.005):
            with contextlib.suppress(redis.RedisError):
                client.set(secrets.token_hex(8), secrets.token_bytes(20_000))


def measure(
    kind: str, rounds: int, grid: LocalGrid, result: GatewayFigures, saves: int = SAVES
) -> None:
    """Do some rounds with a Redis of a kind on a new root of a grid."""
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work, "redis")
        directory.mkdir()
        with redis_of(kind, directory) as url:
            writers = Writers(grid, grid.create_root().uri, Path(work), url)
            try:
                for number in range(rounds):
                    writers.save(f"2026/11/{number + 1:02}", result, saves)
            finally:
                writers.stop()
            if url is not None:
                with contextlib.closing(redis.Redis.from_url(url)) as client:
                    result.evicted += client.info("stats")["evicted_keys"]


def main() -> None:
    """Print what became of the saves; the status is 1 where one was lost.

    Or where it can't be told: none was saved, or nothing evicted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateways",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--redis", choices=REDIS, action="append")
    arguments = parser.parse_args()
    wrong = 0
    for kind in arguments.redis or REDIS:
        result = GatewayFigures()
        with LocalGrid(servers=arguments.servers, gateways=2) as grid:
            measure(kind, arguments.rounds, grid, result)
        print(f"Redis: {kind}; {result}", flush=True)
        for said in sorted(set(result.errors))[:3]:
            print(f"    {said}", flush=True)
        wrong += len(result.lost) + len(result.twice)
        wrong += result.failed.total() if kind != "none" else 0
        wrong += not result.saved or (kind == "evicting" and not result.evicted)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    import django
    from django.conf import settings

    settings.configure(USE_TZ=True, SECRET_KEY=secrets.token_hex())
    django.setup()
    main()
