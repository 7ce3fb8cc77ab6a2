"""A large upload by PUT and by tus, on S3 and on a grid, beside ``storage.save``.

PUT and save take turns, and the rates are medians. Each upload by tus is cut ten times;
once the web process is killed, and once another one goes on. It ends when a worker has
stored it, where a job does that. How much the web processes grow is what their kernel
says (VmHWM). No two uploads have equal content, which a grid would know already.

The figures of large uploads are this benchmark: hashes, rates and memory.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import secrets
import signal
import statistics
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import requests
from django.conf import settings
from django.core.files.base import File

from benchmarks.rows import Row, at_least, at_most
from tahoestorage.testing.grid import LocalGrid
from tests.application.postgres import TABLES
from tests.application.postgres import running as running_postgres
from tests.application.site import (
    Environment,
    Site,
    bare_environment,
    make_tables_and_user,
    manage,
    served,
    working,
)
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, running_weed

MIB = 1 << 20
CUTS = 10
GROWTH = 32.0  # MiB
Make = Callable[[], Any]


def main(arguments: Sequence[str]) -> int:
    """Print the figures beside their bounds; 0 where all are met."""
    parser = argparse.ArgumentParser(prog="uploads", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="how much, %(default)s")
    parser.add_argument("--store", choices=("s3", "tahoe", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=3, help="%(default)s")
    given = parser.parse_args(arguments)
    settings.configure(SECRET_KEY=secrets.token_hex(), USE_TZ=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made, running_postgres() as postgres:
        content = Path(made) / "content.bin"
        write_random(content, given.mib)
        for kind, of_tus in (("s3", 0.8), ("tahoe", 0.3)):
            if given.store not in (kind, "both"):
                continue
            work = Path(made) / kind
            work.mkdir()
            with store(kind, work) as (variables, make):
                environment = bare_environment(work) | {
                    "DATABASE_URL": postgres.make_database(TABLES),
                    "TAHOE_STORAGE_CACHE_DIRECTORY": str(work / "cache"),
                    **variables,
                }
                rows += measure(
                    kind, environment, make, content, of_tus, work, given.rounds
                )
    for row in rows:
        print(
            f"{row.label:<44} {row.value:6.2f} {row.unit}  must be {row.bound}  "
            f"{'met' if row.met else 'MISSED'}  {row.beside}"
        )
    return 0 if all(row.met for row in rows) else 1


@contextlib.contextmanager
def store(kind: str, work: Path) -> Iterator[tuple[Environment, Make]]:
    """Yield the variables that name a new store, and what makes a storage on it."""
    cache = {"directory": str(work / "bare")}
    if kind == "s3":
        with running_weed(work) as weed:
            from tahoestorage.backends.s3 import S3Storage

            bucket = weed.make_bucket()
            url = (
                f"s3://{bucket}?endpoint_url={weed.endpoint_url}"
                "&region_name=us-east-1&addressing_style=path&signature_version=s3v4"
            )
            variables = {
                "STORAGE_URL": url,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            }
            # As the application has it, so that the server does the same for both.
            options = {
                **weed.options,
                "bucket_name": bucket,
                "cache": cache,
                "object_parameters": {"ChecksumAlgorithm": "SHA256"},
                "parts_in_memory": 2,
            }
            yield variables, lambda: S3Storage(**options)
        return
    with LocalGrid(work / "grid") as grid:
        from tahoestorage.storage import TahoeStorage

        cap = work / "root.cap"
        cap.write_text(grid.create_root().uri)
        variables = {"STORAGE_URL": f"tahoe+{grid.base_url}/?base_cap_file={cap}"}
        yield (
            variables,
            lambda: TahoeStorage(
                base_url=grid.base_url, base_cap_file=str(cap), cache=cache
            ),
        )


def measure(
    kind: str,
    environment: Environment,
    make: Make,
    content: Path,
    of_tus: float,
    work: Path,
    rounds: int,
) -> list[Row]:
    """Return the figures of one store."""
    make_tables_and_user(environment)
    storage = make()
    with (
        working(environment, work / "worker.log"),
        served(environment, work / "first.log") as first,
        served(environment, work / "second.log") as second,
    ):
        # The first of each imports, connects and tries what the store can do.
        for site in (first, second):
            put(site, token(environment), io.BytesIO(b"x" * MIB), f"warm{site.address}")
        storage.save("warm.bin", File(io.BytesIO(b"x" * MIB)))
        before = [memory(site) for site in (first, second)]
        saves, puts, sent = [], [], {}
        for number in range(rounds):
            renew(content)
            with content.open("rb") as file:
                save = partial(storage.save, f"bare{number}.bin", File(file))
                saves.append(timed(save))
            renew(content)
            name = f"put{number}.bin"
            sent[name] = sha256_of(content)
            access = token(environment)
            with content.open("rb") as file:
                puts.append(timed(partial(put, first, access, file, name)))
        saving, putting = statistics.median(saves), statistics.median(puts)
        grown = memory(first) - before[0]
        resumed = []
        for number in range(rounds):
            access = token(environment)
            starting: list[float] = []
            renew(content)
            name = f"tus{number}.bin"
            sent[name] = sha256_of(content)
            upload = partial(by_tus, first, second, access, content, name, starting)
            # But for gunicorn's time, which no upload has a part in.
            resumed.append((timed(upload) - sum(starting), sum(starting)))
        resuming, started = statistics.median_low(resumed)
        # Of the second, which finished: the first one's worker was killed.
        grown_by_tus = memory(second) - before[1]
        access = token(environment)
        found = {each["name"]: each["sha256"] for each in listed(second, access)}
        same = sent == {name: found.get(name) for name in sent}
    mib = content.stat().st_size / MIB
    rates = f"{mib / saving:.0f} MiB/s by save"
    return [
        at_least(f"{kind}: SHA-256 of all equal", float(same), "", 1, ""),
        at_least(
            f"{kind}: PUT of {mib:.0f} MiB",
            saving / putting,
            "x save",
            0.8,
            f"{mib / putting:.0f} and {rates}",
        ),
        at_least(
            f"{kind}: tus of {mib:.0f} MiB, cut {CUTS} times",
            saving / resuming,
            "x save",
            of_tus,
            f"{mib / resuming:.0f} and {rates}; without {started:.1f} s for "
            "another worker",
        ),
        at_most(f"{kind}: growth of the web process, PUT", grown, "MiB", GROWTH),
        at_most(f"{kind}: growth of the web process, tus", grown_by_tus, "MiB", GROWTH),
    ]


def by_tus(
    first: Site,
    second: Site,
    access: str,
    content: Path,
    name: str,
    starting: list[float],
) -> None:
    """Upload by tus, until it is stored: cut, killed, and gone on with elsewhere.

    To ``starting`` the seconds are added that gunicorn takes for another worker.
    """
    size = content.stat().st_size

    chance = random.Random(CUTS)
    headers = {"Tus-Resumable": "1.0.0"}
    created = requests.post(
        f"{first.address}/api/v1/uploads/",
        headers=headers
        | {
            "Authorization": f"Bearer {access}",
            "Upload-Length": str(size),
            "Upload-Metadata": f"filename {b64encode(name.encode()).decode()}",
        },
        timeout=60,
    )
    created.raise_for_status()
    url, offset, made = created.headers["Location"], 0, 0
    while offset < size:
        left = size - offset
        if made < CUTS:
            left = chance.randrange(size // (2 * CUTS), size // CUTS)
        with (
            content.open("rb") as file,
            contextlib.suppress(requests.RequestException),
        ):
            file.seek(offset)
            requests.patch(
                url,
                data=CutOff(file, size - offset, left),
                headers=headers
                | {
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
                timeout=600,
            )
        if made < CUTS:
            made += 1
            if made == CUTS // 3:
                os.kill(worker_of(first), signal.SIGKILL)
                starting.append(timed(lambda: answered(first)))
            if made == 2 * CUTS // 3:
                url = url.replace(first.address, second.address)
        while True:
            with contextlib.suppress(requests.RequestException):
                head = requests.head(url, headers=headers, timeout=600)
                if head.status_code == 200:
                    offset = int(head.headers["Upload-Offset"])
                    if "Job-Id" not in head.headers:
                        break
            time.sleep(0.05)


class CutOff:
    """The rest of a file as a body; the connection breaks off after some of it."""

    def __init__(self, file: IO[bytes], length: int, left: int) -> None:
        self._file, self._length, self._left = file, length, left

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            raise ConnectionResetError("The connection is cut off here.")
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data


def answered(site: Site) -> None:
    """Wait until a worker answers, which no database is asked for."""
    while True:
        with contextlib.suppress(requests.RequestException):
            requests.options(f"{site.address}/api/v1/uploads/", timeout=600)
            return


def put(site: Site, access: str, file: Any, name: str) -> None:
    response = requests.put(
        f"{site.address}/api/v1/content/{re.sub(r'[^.a-z0-9]', '', name)}",
        data=file,
        headers={
            "Authorization": f"Bearer {access}",
            "Content-Type": "application/octet-stream",
        },
        timeout=3600,
    )
    response.raise_for_status()


def listed(site: Site, access: str) -> list[dict[str, Any]]:
    response = requests.get(
        f"{site.address}/api/v1/objects/",
        headers={"Authorization": f"Bearer {access}"},
        timeout=60,
    )
    found: list[dict[str, Any]] = response.json()["results"]
    return found


def token(environment: Environment) -> str:
    return str(json.loads(manage(environment, "createusertoken", "ann"))["access"])


def worker_of(site: Site) -> int:
    """The process of gunicorn's worker."""
    return int(re.findall(r"Booting worker with pid: (\d+)", site.log.read_text())[-1])


def memory(site: Site) -> float:
    """MiB that the worker had in memory at most."""
    status = Path(f"/proc/{worker_of(site)}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def write_random(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def renew(path: Path) -> None:
    """Let the content be one that was never stored."""
    with path.open("r+b") as file:
        file.write(os.urandom(64))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
