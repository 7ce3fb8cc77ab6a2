"""Small objects by eight clients, on S3 and PostgreSQL, beside the bare storage.

The site runs as in production, but for nginx: gunicorn with a process for each
processor and 8 threads in each. The bare storage runs in as many processes, with 8
threads in all; nobody speaks HTTP to it, and it asks no database. Both keep their
content in one SeaweedFS. PostgreSQL does not wait for the disk (fsync is off), as
SeaweedFS does not.

Each round uploads objects by the one and by the other, and then reads all of them once
from each. A figure is the median of the rounds' ratios. The clients keep their
connections to the site.

The figure of small objects is this benchmark; their queries are a test
(``tests/application/test_queries.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.files.base import ContentFile

from benchmarks.rows import Row, at_least
from tests.application.postgres import running
from tests.application.site import Environment, Site, bare_environment, manage, served
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, running_weed

CLIENTS = 8
SIZE = 10_000  # bytes
PROCESSES = min(os.cpu_count() or 1, CLIENTS)
Lane = list[Any]
"""What one client does, one after another: names to save by, or what to read."""


class Work(NamedTuple):
    """What all clients did together."""

    results: list[Lane]
    rate: float
    """Objects a second."""
    cpu: float
    """Seconds of the processor that an object took of the processes that serve."""


def main(arguments: Sequence[str]) -> int:
    """Print the objects a second of the API and of the storage alone; 0 if met."""
    parser = argparse.ArgumentParser(prog="throughput", description=__doc__)
    parser.add_argument(
        "--objects", type=int, default=200, help="in each round, %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=7, help="%(default)s")
    given = parser.parse_args(arguments)
    settings.configure(SECRET_KEY=secrets.token_hex(), USE_TZ=True)
    with (
        tempfile.TemporaryDirectory() as work,
        tempfile.TemporaryDirectory() as weeds,
        running_weed(Path(weeds)) as weed,
        running() as postgres,
    ):
        database = postgres.make_database()
        environment = environment_of(Path(work), weed, database)
        options = {
            **weed.options,
            "bucket_name": weed.make_bucket(),
            "cache": {"directory": str(Path(work) / "bare")},
        }
        with ServedSite(environment, Path(work)) as site, BareStorage(options) as bare:
            rows = measure(site, bare, given.objects, given.rounds)
    for row in rows:
        print(
            f"{row.label:<28} {row.value:5.2f} {row.unit}  must be {row.bound}  "
            f"{'met' if row.met else 'MISSED'}  {row.beside}"
        )
    return 0 if all(row.met for row in rows) else 1


def environment_of(work: Path, weed: S3Server, database: str) -> Environment:
    """Return the environment of a new site."""
    bucket = weed.make_bucket()
    return bare_environment(work) | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "STORAGE_URL": f"s3://{bucket}?endpoint_url={weed.endpoint_url}"
        "&region_name=us-east-1&addressing_style=path&signature_version=s3v4",
        "DATABASE_URL": database,
        "WEB_CONCURRENCY": str(PROCESSES),
        # They are counted as ever, and all admitted.
        "THROTTLE_USER": "1000000/minute",
        "THROTTLE_TENANT": "1000000/minute",
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(work / "cache"),
    }


class ServedSite:
    """The application behind gunicorn, and its eight clients."""

    def __init__(self, environment: Environment, work: Path) -> None:
        self._environment = environment
        self._work = work

    def __enter__(self) -> Self:
        manage(self._environment, "migrate", "--verbosity=0")
        manage(self._environment, "demo_data", "--user=client")
        tokens = json.loads(manage(self._environment, "createusertoken", "client"))
        with contextlib.ExitStack() as stack:
            site = stack.enter_context(
                served(self._environment, self._work / "site.log")
            )
            self._site = site
            self._place = urlsplit(site.address).netloc
            self._refresh = site.address + "/api/v1/tokens/refresh/"
            self._tokens = tokens
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def put(self, lanes: list[Lane], content: bytes) -> Work:
        """Upload an object for each name; the results are their ids."""

        def put(connection: http.client.HTTPConnection, name: str) -> str:
            path = f"/api/v1/content/{name}"
            return str(json.loads(self._ask(connection, "PUT", path, content))["id"])

        return self._by_all(put, lanes)

    def get(self, lanes: list[Lane], content: bytes) -> Work:
        """Read the object of each id."""

        def get(connection: http.client.HTTPConnection, pk: str) -> None:
            path = f"/api/v1/objects/{pk}/content/"
            expect(self._ask(connection, "GET", path), content)

        return self._by_all(get, lanes)

    def _by_all(
        self, act: Callable[[http.client.HTTPConnection, Any], Any], lanes: list[Lane]
    ) -> Work:
        # An access token is good for five minutes.
        refreshed = requests.post(
            self._refresh, {}, {"refresh": self._tokens["refresh"]}, timeout=60
        )
        refreshed.raise_for_status()
        self._tokens |= refreshed.json()

        def client(lane: Lane) -> Lane:
            connection = http.client.HTTPConnection(self._place, timeout=60)
            with contextlib.closing(connection):
                return [act(connection, one) for one in lane]

        before = self._cpu()
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            results = list(pool.map(client, lanes))
        seconds = time.perf_counter() - started
        return work_of(results, seconds, self._cpu() - before)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
    ) -> bytes:
        headers = {"Authorization": f"Bearer {self._tokens['access']}"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        found = response.read()
        if response.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: {response.status} {found[:500]!r}")
        return found

    def _cpu(self) -> float:
        return sum(cpu_of(pid) for pid in workers_of(self._site))


class BareStorage:
    """The storage in as many processes as the site has, and eight threads in all."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def __enter__(self) -> Self:
        # Not by a fork: this process has threads.
        context = multiprocessing.get_context("spawn")
        key = secrets.token_hex()
        self._processes = [
            ProcessPoolExecutor(1, context, make_storage, (key, self._options))
            for _ in range(PROCESSES)
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._processes:
            process.shutdown()

    def put(self, lanes: list[Lane], content: bytes) -> Work:
        """Save a file by each name; the results are their names."""
        return self._by_all(save, lanes, content)

    def get(self, lanes: list[Lane], content: bytes) -> Work:
        """Read each file."""
        return self._by_all(read, lanes, content)

    def _by_all(
        self, act: Callable[[Any, bytes], Any], lanes: list[Lane], content: bytes
    ) -> Work:
        started = time.perf_counter()
        asked = [
            process.submit(by_threads, act, lanes[number::PROCESSES], content)
            for number, process in enumerate(self._processes)
        ]
        done = [one.result() for one in asked]
        seconds = time.perf_counter() - started
        results: list[Lane] = [[]] * len(lanes)
        for number, (found, _) in enumerate(done):
            results[number::PROCESSES] = found
        return work_of(results, seconds, sum(cpu for _, cpu in done))


_storage: Any = None


def make_storage(secret_key: str, options: dict[str, Any]) -> None:
    """Make the storage of this process."""
    global _storage
    settings.configure(SECRET_KEY=secret_key, USE_TZ=True)
    from tahoestorage.backends.s3 import S3Storage

    _storage = S3Storage(**options)


def by_threads(
    act: Callable[[Any, bytes], Any], lanes: list[Lane], content: bytes
) -> tuple[list[Lane], float]:
    """Do this with all of each lane, a thread each; return seconds of the processor."""

    def client(lane: Lane) -> Lane:
        return [act(one, content) for one in lane]

    before = time.process_time()
    with ThreadPoolExecutor(len(lanes)) as pool:
        results = list(pool.map(client, lanes))
    return results, time.process_time() - before


def save(name: str, content: bytes) -> str:
    """Save a file by this process's storage, and return its name."""
    return str(_storage.save(name, ContentFile(content)))


def read(name: str, content: bytes) -> None:
    """Read a file by this process's storage."""
    with _storage.open(name) as file:
        expect(file.read(), content)


def expect(got: bytes, sent: bytes) -> None:
    """Raise ValueError where something else came down than went up."""
    if got != sent:
        raise ValueError("What came down is not what went up.")


def work_of(results: list[Lane], seconds: float, cpu: float) -> Work:
    """Return what was done in that time."""
    count = sum(map(len, results))
    return Work(results, count / seconds, cpu / count)


def workers_of(site: Site) -> list[int]:
    """Return the ids of gunicorn's workers."""
    found = re.findall(r"Booting worker with pid: (\d+)", site.log.read_text())
    return [int(pid) for pid in found]


def cpu_of(pid: int) -> float:
    """Return the seconds of the processor that a process took (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(site: ServedSite, bare: BareStorage, count: int, rounds: int) -> list[Row]:
    """Return both figures."""
    puts: list[tuple[Work, Work]] = []
    gets: list[tuple[Work, Work]] = []
    # The first is no round: processes import, connect, and try what the store can do.
    for number in range(rounds + 1):
        content = os.urandom(SIZE)
        lanes = [
            [f"bench/{number}/{lane}/{n}.bin" for n in range(lane, count, CLIENTS)]
            for lane in range(CLIENTS)
        ]
        both: list[ServedSite | BareStorage] = [site, bare]
        if number % 2:
            both.reverse()
        put = {one: one.put(lanes, content) for one in both}
        # Each reads what another has written.
        get = {}
        for one in both:
            first, *others = put[one].results
            get[one] = one.get([*others, first], content)
        if number:
            puts.append((put[site], put[bare]))
            gets.append((get[site], get[bare]))
    return [row("PUT", puts, 0.3), row("GET", gets, 0.5)]


def row(verb: str, pairs: list[tuple[Work, Work]], bound: float) -> Row:
    """Return the figure of the works of the site and of the storage."""
    ratios = [ours.rate / theirs.rate for ours, theirs in pairs]
    site, storage = zip(*pairs, strict=True)
    rates = [
        statistics.median(work.rate for work in works) for works in (site, storage)
    ]
    cpu = [
        1000 * statistics.median(work.cpu for work in works)
        for works in (site, storage)
    ]
    return at_least(
        f"{verb} of 10 KB by {CLIENTS} clients",
        statistics.median(ratios),
        "x the bare storage's",
        bound,
        f"{min(ratios):.2f} to {max(ratios):.2f}; {rates[0]:.0f} and {rates[1]:.0f} a "
        f"second; {cpu[0]:.1f} and {cpu[1]:.1f} ms of {PROCESSES} processes",
    )
