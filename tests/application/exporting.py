"""Exports by real workers, killed or not, and what is in the store afterwards.

The fault run of ``benchmarks/application/exports.py``, and small ones in the tests.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.application.site import manage
from tests.application.workers import PATIENCE, Crew, wait_for

FILL = """
import io, random
from accounts.models import Tenant, User
from objects import storing
from objects.incoming import IncomingFile
tenant = Tenant.objects.create(name="Acme", slug="acme")
user = User.objects.create_user("ann", tenant=tenant)
chance = random.Random(1)
for folder in range({folders}):
    for number in range({files}):
        size = chance.randrange({size})
        content = IncomingFile(io.BytesIO(chance.randbytes(size)), size)
        storing.store(content, tenant=tenant, user=user, folder=f"f{{folder}}/sub",
                      name=f"{{number}}.bin")
"""
START = """
from accounts.models import User
from exports import starting
user = User.objects.get()
for number in range({count}):
    starting.start_folder(user, f"f{{number % {folders}}}")
"""
# Each archive is opened, and compared with the objects of its folder.
LOOK = """
import hashlib, json, zipfile
from django.core.files.storage import storages
from accounts.models import Tenant
from audit.models import Entry
from exports.models import Export
from objects.models import StoredObject
def kept(directory):
    directories, files = storages["default"].listdir(directory)
    found = [f"{directory}/{name}" for name in files]
    for name in directories:
        found += kept(f"{directory}/{name}")
    return found
wrong = []
for export in Export.objects.all():
    try:
        with storages["default"].open(export.key) as file, zipfile.ZipFile(file) as it:
            said = json.loads(it.read("manifest.json"))["files"]
            got = {f"{export.folder}/{one['folder']}/{one['name']}":
                   hashlib.sha256(it.read(one["path"])).hexdigest() for one in said}
            assert len(it.namelist()) == len(said) + 1
        rows = StoredObject.objects.filter(folder=f"{export.folder}/sub")
        assert got == {one.path: one.sha256 for one in rows} != {}
        ready = Entry.objects.filter(action="export.ready", target_id=str(export.pk))
        assert ready.count() == 1 and export.state == "ready" and not export.reserved
    except Exception as error:
        wrong.append(f"{export.pk} {export.state} {export.error} {error!r}")
names = {export.key for export in Export.objects.all()}
tenant, sizes = Tenant.objects.get(), [one.size for one in Export.objects.all()]
objects = sum(one.size for one in StoredObject.objects.all())
print(json.dumps({
    "exports": len(names),
    "wrong": wrong,
    "left over": sorted(set(kept("exports")) - names),
    "attempts": sum(one.attempts for one in Export.objects.all()),
    "quota": tenant.used_bytes - objects - sum(sizes) + tenant.reserved_bytes,
}))
"""


def shell(crew: Crew, script: str) -> str:
    """Run a script in the application, and return the last line it prints."""
    said = manage(crew.environment, "shell", "--no-imports", "--command", script)
    return said.splitlines()[-1] if said else ""


def fill(crew: Crew, *, folders: int, files: int, size: int) -> None:
    """Make folders with so many files each, of up to ``size`` bytes."""
    shell(crew, FILL.format(folders=folders, files=files, size=size))


def start(crew: Crew, count: int, *, folders: int) -> None:
    """Start so many exports, of the folders in turn."""
    shell(crew, START.format(count=count, folders=folders))


def look(crew: Crew) -> dict[str, Any]:
    """Return what is in the store, compared with what must be there."""
    found: dict[str, Any] = json.loads(shell(crew, LOOK))
    return found


@dataclass
class Killed:
    """What a run left. ``seconds`` are from each kill to the end of what it hit."""

    seconds: list[float] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)


def run(
    crew: Crew,
    kills: int,
    seed: int,
    *,
    longest: float,
    after: Callable[[], None] = lambda: None,
) -> Killed:
    """Kill the only worker so often, each time up to ``longest`` s into an export.

    ``after`` is called after each kill.
    """
    chance, hits = random.Random(seed), dict[str, list[float]]()
    for _ in range(kills):
        crew.hire()
        wait_for(lambda: _running(crew))
        time.sleep(chance.uniform(0, longest))
        hit = _running(crew)
        crew.kill(crew.workers[-1])
        for job in hit:
            hits.setdefault(job, []).append(time.time())
        after()
    crew.hire()
    wait_for_ends(crew, PATIENCE + 60)
    jobs, result = rows(crew), Killed(found=look(crew))
    result.seconds = [
        jobs[job]["ended"] - at for job, ats in hits.items() for at in ats[-1:]
    ]
    return result


def rows(crew: Crew) -> dict[str, dict[str, Any]]:
    """Return what the jobs of all exports are like, by their ids."""
    found: dict[str, dict[str, Any]] = crew.ask("exports")
    return found


def wait_for_ends(crew: Crew, patience: float = PATIENCE) -> None:
    """Wait until no export is open."""
    going = {"waiting", "running"}
    wait_for(
        lambda: not any(job["state"] in going for job in rows(crew).values()), patience
    )


def _running(crew: Crew) -> list[str]:
    return [
        pk
        for pk, job in rows(crew).items()
        if job["state"] == "running" and job["is_claimed"]
    ]
