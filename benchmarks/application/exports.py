"""An export of many files, beside ``storage_copy`` of them and one save of the result.

How much the worker grows is what its kernel says (VmHWM); what it has on the local disk
is looked at 20 times a second: its folder for temporary files, and files that it has
open. ``--many`` exports tiny files, and ``--kills`` kills workers at random moments.
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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File

from benchmarks.application.uploads import store, timed
from benchmarks.rows import Row, at_least, at_most
from tests.application import exporting, postgres
from tests.application.site import EXAMPLE, Environment, bare_environment, manage
from tests.application.workers import CELERY, DATABASE, crew, end, wait_for
from tests.support import redis_server

MIB = 1 << 20
GROWTH = DISK = 64.0  # MiB
SLOWER, SOON = 1.3, 90.0
KILLED = {
    "sqlite": DATABASE,
    "postgresql": DATABASE,
    "celery": CELERY,
    "emptied": CELERY,
}
"""Runners of the exports; all but the first on PostgreSQL. With the last, the broker
comes back empty each time."""
FILL = """
import io, os
from accounts.models import Tenant, User
from objects import storing
from objects.incoming import IncomingFile
user, _ = User.objects.get_or_create(
    username="ann", tenant=Tenant.objects.get_or_create(name="Acme", slug="acme")[0])
for number in range({files}):
    content = IncomingFile(io.BytesIO(os.urandom({size})), {size})
    storing.store(content, tenant=user.tenant, user=user, folder="{folder}",
                  name=f"{{number}}.bin")
"""
# Rows and files are made at once, as no upload makes them: only reading is measured.
FILL_MANY = """
import hashlib
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db.models import OuterRef, Subquery
from accounts.models import Tenant, User
from objects.models import StoredObject, Version
user, _ = User.objects.get_or_create(
    username="ann", tenant=Tenant.objects.get_or_create(name="Acme", slug="acme")[0])
user.is_administrator = True
user.save()
objects, versions = [], []
for number in range({files}):
    content = b"%d" % number
    said = dict(size=len(content), sha256=hashlib.sha256(content).hexdigest(),
                content_type="text/plain")
    one = StoredObject(tenant=user.tenant, owner=user,
                       folder=f"{folder}/{{number % 100}}",
                       name=f"A tiny file, {{number}}.txt", **said)
    key = storages["default"].save(f"many/{{one.pk}}", ContentFile(content))
    objects.append(one)
    versions.append(Version(object=one, number=1, state="stored", store="default",
                            key=key, created_by=user, **said))
StoredObject.objects.bulk_create(objects, batch_size=500)
Version.objects.bulk_create(versions, batch_size=500)
own = Version.objects.filter(object=OuterRef("pk")).values("pk")
StoredObject.objects.filter(current=None).update(current=Subquery(own))
"""
START = """
from accounts.models import User
from exports import starting
print(starting.start_folder(User.objects.get(), "{folder}").pk)
"""
LOOK = """
import hashlib, json, zipfile
from exports.models import Export
from django.core.files.storage import storages
from objects.models import StoredObject
export = Export.objects.select_related("job").get(pk="{pk}")
if export.state == "pending":
    print("null")
else:
    with storages[export.store].open(export.key) as file, zipfile.ZipFile(file) as it:
        found = [hashlib.sha256(it.read(name)).hexdigest() for name in it.namelist()]
    known = StoredObject.objects.filter(folder__startswith="{folder}")
    job = export.job
    print(json.dumps([(job.finished_at - job.started_at).total_seconds(), export.size,
          sorted(found[1:]) == sorted(known.values_list("sha256", flat=True))]))
"""
WAIT = """
import time
from exports.models import Export
while Export.objects.filter(state="pending").exists():
    time.sleep(0.2)
"""


def main(arguments: Sequence[str]) -> int:
    """Print the figures beside their bounds; 0 where all are met."""
    parser = argparse.ArgumentParser(prog="exports", description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="%(default)s")
    parser.add_argument("--mib", type=int, default=2048, help="in all, %(default)s")
    parser.add_argument("--store", choices=("s3", "tahoe", "both"), default="both")
    parser.add_argument("--many", type=int, default=0, help="tiny files, nothing else")
    parser.add_argument("--kills", type=int, default=0, help="and nothing else")
    parser.add_argument("--only", choices=KILLED, help="with --kills, one of them")
    given = parser.parse_args(arguments)
    settings.configure(SECRET_KEY=secrets.token_hex(), USE_TZ=True)
    rows: list[Row] = []
    if given.many:
        rows += very_many(given.many)
    elif given.kills:
        for name in KILLED:
            if given.only in (None, name):
                rows += killed(name, given.kills)
    else:
        for kind in ("s3", "tahoe"):
            if given.store in (kind, "both"):
                rows += measured(kind, given.files, given.mib)
    for row in rows:
        print(
            f"{row.label:<46} {row.value:7.2f} {row.unit}  must be {row.bound}  "
            f"{'met' if row.met else 'MISSED'}  {row.beside}"
        )
    return 0 if all(row.met for row in rows) else 1


def measured(kind: str, files: int, mib: int) -> list[Row]:
    """Return the figures of one store."""
    with tempfile.TemporaryDirectory() as made, store(kind, Path(made)) as (more, make):
        work = Path(made)
        spool = work / "tmp"
        spool.mkdir()
        environment = bare_environment(work) | more
        environment["TAHOE_STORAGE_CACHE_DIRECTORY"] = str(work / "cache")
        environment["TMPDIR"] = str(spool)
        manage(environment, "migrate", "--verbosity=0")
        size = mib * MIB // files
        shell(environment, FILL.format(files=3, size=1000, folder="warm"))
        shell(environment, FILL.format(files=files, size=size, folder="many"))
        with worker(environment, work) as process:
            # The first one imports, connects and tries what the store can do.
            export(environment, "warm")
            grown = -memory(process.pid)
            with Watched(process.pid, spool, {work / "cache"}) as watched:
                taken, whole, same = export(environment, "many")
            grown += memory(process.pid)
        folder = work / "copied"
        command = ("storage_copy", "default", folder.as_uri(), "--prefix=tenants/")
        copying = timed(lambda: manage(environment, *command))
        content = work / "content.bin"
        with content.open("wb") as file:
            for left in range(whole, 0, -MIB):
                file.write(os.urandom(min(left, MIB)))
        with content.open("rb") as file:
            saving = timed(lambda: make().save("bare.bin", File(file)))
    beside = f"{taken:.0f} s; copy {copying:.0f} s, save {saving:.0f} s"
    label = f"{kind}: export of {files} files, {mib} MiB"
    return [
        at_least(f"{kind}: all SHA-256 equal", float(same), "", 1, ""),
        at_most(label, taken / (copying + saving), "x both", SLOWER, beside),
        at_most(f"{kind}: growth of the worker", grown, "MiB", GROWTH, ""),
        at_most(f"{kind}: local disk of the worker", watched.most, "MiB", DISK, ""),
    ]


def very_many(files: int) -> list[Row]:
    """Return the figures of an export of so many tiny files of a folder on the disk."""
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        spool = work / "tmp"
        spool.mkdir()
        environment = bare_environment(work) | {"TMPDIR": str(spool)}
        manage(environment, "migrate", "--verbosity=0")
        shell(environment, FILL_MANY.format(files=3, folder="warm"))
        shell(environment, FILL_MANY.format(files=files, folder="many"))
        with worker(environment, work) as process:
            export(environment, "warm")
            grown = -memory(process.pid)
            with Watched(process.pid, spool, set()) as watched:
                taken, _whole, same = export(environment, "many")
            grown += memory(process.pid)
    beside = f"{files} files in {taken:.0f} s"
    return [
        at_least("many: all SHA-256 equal", float(same), "", 1, ""),
        at_most("many: growth of the worker", grown, "MiB", GROWTH, beside),
        at_most("many: local disk of the worker", watched.most, "MiB", DISK, ""),
    ]


def killed(name: str, kills: int) -> list[Row]:
    """Return the figures of exports by a worker that is killed again and again."""
    label, runner, broker = name, KILLED[name], None
    is_emptied = name == "emptied"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        more = {"JOBS_ATTEMPTS": str(kills + 1)}
        if name != "sqlite":
            server = stack.enter_context(postgres.running())
            more["DATABASE_URL"] = server.make_database(postgres.TABLES)
        if runner == CELERY:
            broker = stack.enter_context(redis_server.running(folder))
            more["CELERY_BROKER_URL"] = broker.url

        def after() -> None:
            if is_emptied and broker is not None:
                broker.stop()
                broker.start()

        made = stack.enter_context(crew(runner, folder, **more))
        exporting.fill(made, folders=4, files=60, size=5_000_000)
        exporting.start(made, kills, folders=4)
        result = exporting.run(made, kills, seed=1, longest=1.5, after=after)
    if is_emptied:
        label = "celery, broker emptied"
    found = result.found
    right = found["exports"] - len(found["wrong"])
    left = f"{len(found['left over'])} left over until the hourly job"
    return [
        at_least(f"{label}: right after {kills} kills", right, "", kills, left),
        at_most(f"{label}: quota not right by", abs(found["quota"]), "bytes", 0, ""),
        at_most(
            f"{label}: the slowest, from its kill on",
            max(result.seconds),
            "s",
            SOON,
            "",
        ),
    ]


def shell(environment: Environment, script: str) -> str:
    said = manage(environment, "shell", "--no-imports", "--command", script)
    return said.splitlines()[-1] if said else ""


def export(environment: Environment, folder: str) -> tuple[float, int, bool]:
    """Export a folder; return its seconds, its bytes, and whether all is in it."""
    pk = shell(environment, START.format(folder=folder))
    shell(environment, WAIT)
    told: Any = json.loads(shell(environment, LOOK.format(pk=pk, folder=folder)))
    return float(told[0]), int(told[1]), bool(told[2])


@contextlib.contextmanager
def worker(environment: Environment, work: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker."""
    with (work / "worker.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "jobs_worker", "--threads=1"],
            cwd=EXAMPLE,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(lambda: Path(f"/proc/{process.pid}/status").exists())
        yield process
    finally:
        end(process)


class Watched:
    """Looks how much of the local disk a process has at most; ``most`` is in MiB."""

    def __init__(self, pid: int, spool: Path, others: set[Path]) -> None:
        self.most = 0.0
        self._pid, self._spool, self._others = pid, spool, others
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        cache = self._cached()
        while not self._done.wait(0.05):
            size = self._cached() - cache + self._open() + used(self._spool)
            self.most = max(self.most, size / MIB)

    def _cached(self) -> int:
        return sum(map(used, self._others))

    def _open(self) -> int:
        """Return the bytes of files that are open and have no name any more."""
        found = 0
        with contextlib.suppress(OSError):
            for one in Path(f"/proc/{self._pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(one).endswith("(deleted)"):
                        found += one.stat().st_blocks * 512
        return found


def used(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    found = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(directory, name)).st_size
    return found


def memory(pid: int) -> float:
    """MiB that the process had in memory at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
