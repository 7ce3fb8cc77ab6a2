"""``python -m benchmarks.hosts``: changes seen through a full Redis.

One host makes 256 changes: it saves, replaces and deletes files. After each the other
is asked whether the file exists, and for its content; and for one that was changed
before. The Redis has too little memory, 2 MB, and others use it too, so that it drops
keys all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.gateways import fill
from tahoestorage.cache.redisstate import STATE
from tahoestorage.testing.grid import LocalGrid
from tests.support.old_release import Worker
from tests.support.redis_server import RedisServer, running

CHANGES, NAMES = 256, 16
POLICIES = ("allkeys-lru", "allkeys-random", "volatile-lru", "noeviction")

SETUP = """
from django.conf import settings
settings.configure(USE_TZ=True)
import django
django.setup()
from tahoestorage.storage import TahoeStorage

def begin(options):
    global storage
    storage = TahoeStorage(**options)

def change(name, text):
    if text is None:
        return storage.delete(name)
    with storage.open(name, "wb") as file:
        file.write(text.encode())

def look_up(name):
    try:
        with storage.open(name) as file:
            text = file.read().decode()
    except FileNotFoundError:
        text = None
    return [storage.exists(name), text]
"""


@dataclass
class HostFigures:
    """What the other host has read, and what the Redis has dropped."""

    changes: int = 0
    reads: int = 0
    wrong: int = 0
    evicted: int = 0
    refused: int = 0
    names: int = 0

    @property
    def judges(self) -> bool:
        """Whether the Redis was short of memory at all."""
        return self.evicted + self.refused > 0

    def __str__(self) -> str:
        return (
            f"{self.changes} changes, {self.wrong} of {self.reads} reads wrong; "
            f"{self.evicted} keys evicted, {self.refused} writes refused, "
            f"counters begun {self.names} times"
        )


@contextlib.contextmanager
def short_of_memory(directory: Path, policy: str) -> Iterator[RedisServer]:
    """Run a Redis of 2 MB that others fill."""
    options = ("--maxmemory", "2mb", "--maxmemory-policy", policy)
    with running(directory, *options) as server:
        stop = threading.Event()
        filler = threading.Thread(target=fill, args=(server, stop))
        filler.start()
        try:
            yield server
        finally:
            stop.set()
            filler.join()


@contextlib.contextmanager
def two_hosts(grid: LocalGrid, url: str) -> Iterator[tuple[Worker, Worker]]:
    """Start two processes that share a root and a Redis, and nothing else."""
    options = {
        "base_url": grid.base_url,
        "base_cap": grid.create_root().uri,
        "cache": {"redis": url},
    }
    with contextlib.ExitStack() as stack:
        hosts = []
        for _ in range(2):
            hosts.append(Worker(None, SETUP))
            stack.callback(hosts[-1].end)
            # By standard input, for it is a cap.
            hosts[-1].run(f"begin({options!r})")
        yield hosts[0], hosts[1]


def measure(policy: str, changes: int) -> HostFigures:
    """Make so many changes on one host, and ask another one after each."""
    result = HostFigures()
    right: dict[str, str | None] = {}
    counters: set[bytes | None] = set()
    with (
        tempfile.TemporaryDirectory() as work,
        LocalGrid() as grid,
        short_of_memory(Path(work), policy) as server,
        two_hosts(grid, server.url) as (here, there),
        server.client() as client,
    ):
        for number in range(changes):
            name = f"dir/{number * 7 % NAMES}"
            gone = number // NAMES % 3 == 2
            right[name] = None if gone else f"{number} {secrets.token_hex(40)}"
            here.run(f"change({name!r}, {right[name]!r})")
            result.changes += 1
            with contextlib.suppress(redis.RedisError):
                counters.add(client.hget(STATE, "name"))
            earlier = f"dir/{number * 5 % NAMES}"
            for each in (name, earlier):
                content = right.get(each)
                result.reads += 1
                found = there.ask(f"look_up({each!r})")
                result.wrong += found != [content is not None, content]
        for each, content in right.items():
            result.reads += 1
            found = there.ask(f"look_up({each!r})")
            result.wrong += found != [content is not None, content]
        statistics = client.info()
        result.evicted = statistics["evicted_keys"]
        errors = client.info("errorstats").get("errorstat_OOM", {"count": 0})
        result.refused = int(errors["count"])
        result.names = len(counters - {None})
    return result


def main() -> None:
    """Print what came of each policy; the status is 1 where a read was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hosts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--policy", choices=POLICIES, action="append")
    arguments = parser.parse_args()
    wrong = False
    for policy in arguments.policy or POLICIES:
        result = measure(policy, arguments.changes)
        print(f"Redis: 2 MB, {policy}; {result}", flush=True)
        if not result.judges:
            print("    It had memory enough: this tells nothing.", flush=True)
        wrong |= result.wrong > 0 or not result.judges
    sys.exit(wrong)


if __name__ == "__main__":
    import django
    from django.conf import settings

    settings.configure(USE_TZ=True, SECRET_KEY=secrets.token_hex())
    django.setup()
    main()
