"""Small objects by eight clients, on S3 and PostgreSQL, beside the bare storage."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.core.files.base import ContentFile

from benchmarks.rows import Row, at_least
from tests.application.postgres import running
from tests.application.site import bare_environment, manage, served
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, running_weed

CLIENTS = 8
SIZE = 10_000  # bytes


def main(arguments: Sequence[str]) -> int:
    """Print the objects a second of the API and of the storage alone; 0 if met."""
    parser = argparse.ArgumentParser(prog="throughput", description=__doc__)
    parser.add_argument(
        "--objects", type=int, default=400, help="how many, %(default)s"
    )
    count = parser.parse_args(arguments).objects
    settings.configure(SECRET_KEY=secrets.token_hex(), USE_TZ=True)
    with (
        tempfile.TemporaryDirectory() as work,
        tempfile.TemporaryDirectory() as weeds,
        running_weed(Path(weeds)) as weed,
        running() as postgres,
    ):
        rows = measure(Path(work), weed, postgres.make_database(), count)
    for row in rows:
        print(
            f"{row.label:<40} {row.value:5.2f} {row.unit}  must be {row.bound}  "
            f"{'met' if row.met else 'MISSED'}  {row.beside}"
        )
    return 0 if all(row.met for row in rows) else 1


def measure(work: Path, weed: S3Server, database: str, count: int) -> list[Row]:
    """Return both figures."""
    content = os.urandom(SIZE)
    store = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    bucket = weed.make_bucket()
    environment = (
        bare_environment(work)
        | store
        | {
            "STORAGE_URL": f"s3://{bucket}?endpoint_url={weed.endpoint_url}"
            "&region_name=us-east-1&addressing_style=path&signature_version=s3v4",
            "DATABASE_URL": database,
            # A process for each processor, as an operator would have it.
            "WEB_CONCURRENCY": str(os.cpu_count() or 1),
            "TAHOE_STORAGE_CACHE_DIRECTORY": str(work / "cache"),
        }
    )
    manage(environment, "migrate", "--verbosity=0")
    manage(environment, "demo_data", "--user=client")
    tokens = json.loads(manage(environment, "createusertoken", "client"))
    sessions = [requests.Session() for _ in range(CLIENTS)]
    for session in sessions:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {tokens['access']}"
    with served(environment, work / "site.log") as site:
        api = f"{site.address}/api/v1"

        def put(number: int) -> str:
            session = sessions[number % CLIENTS]
            name = f"content/bench/{number % 16}/{number}.bin"
            response = session.put(f"{api}/{name}", data=content, timeout=60)
            response.raise_for_status()
            return str(response.json()["id"])

        put(count)
        put_rate, ids = rate(put, range(count))

        def get(number: int) -> None:
            url = f"{api}/objects/{ids[number]}/content/"
            response = sessions[number % CLIENTS].get(url, timeout=60)
            response.raise_for_status()
            expect(response.content, content)

        get(0)
        get_rate, _ = rate(get, range(count))
    bare_put, bare_get = bare_rates(work, weed, content, count)
    return [
        at_least(
            "PUT of 10 KB by 8 clients",
            put_rate / bare_put,
            "x the bare storage's",
            0.3,
            f"{put_rate:.0f} and {bare_put:.0f} a second",
        ),
        at_least(
            "GET of 10 KB by 8 clients",
            get_rate / bare_get,
            "x the bare storage's",
            0.5,
            f"{get_rate:.0f} and {bare_get:.0f} a second",
        ),
    ]


def bare_rates(
    work: Path, weed: S3Server, content: bytes, count: int
) -> tuple[float, float]:
    """Return the saves and the readings a second by eight threads on the storage."""
    from tahoestorage.backends.s3 import S3Storage

    storage = S3Storage(
        **weed.options,
        bucket_name=weed.make_bucket(),
        cache={"directory": str(work / "bare")},
    )

    def save(number: int) -> str:
        name = f"bench/{number % 16}/{number}.bin"
        return str(storage.save(name, ContentFile(content)))

    def read(number: int) -> None:
        with storage.open(names[number]) as file:
            expect(file.read(), content)

    save(count)
    saves, names = rate(save, range(count))
    reads, _ = rate(read, range(count))
    return saves, reads


def expect(got: bytes, sent: bytes) -> None:
    """Raise ValueError where something else came down than went up."""
    if got != sent:
        raise ValueError("What came down is not what went up.")


def rate(call: Callable[[int], Any], numbers: Sequence[int]) -> tuple[float, list[Any]]:
    """Return the calls a second by all clients at once, and what they returned."""
    lanes = [numbers[lane::CLIENTS] for lane in range(CLIENTS)]
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        done = list(pool.map(lambda lane: [(n, call(n)) for n in lane], lanes))
    took = time.perf_counter() - started
    results = dict(itertools.chain.from_iterable(done))
    return len(numbers) / took, [results[number] for number in numbers]
