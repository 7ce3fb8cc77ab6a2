"""The web process killed while it takes uploads and deletes, and what is left then.

The fault run of ``benchmarks/application/kills.py``, and a small one in the tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.application.site import Environment, make_tables, manage, served_by

PATIENCE = 120  # seconds; only an error takes so long
CLIENTS = 4
SIZES = (0, 55, 10_000, 300_000, 3_000_000, 9_000_000)
"""In bytes. The last is more than S3 is sent in one request."""
PART = "application/offset+octet-stream"
_TOKEN = ("createusertoken", "ann")
FILL = """
from django.core.management import call_command
from accounts.models import Tenant, User
tenant = Tenant.objects.create(name="Acme", slug="acme", max_versions=1, undo_days=0)
User.objects.create_user("ann", tenant=tenant, is_administrator=True)
call_command("createusertoken", "ann")
"""
# What the rows say, and what the store has.
LOOK = """
import io
import json
from datetime import timedelta
from django.core.management import call_command
from django.core.files.storage import storages
from accounts.models import Tenant
from objects import partwise
from objects.models import StoredObject, Version
from objects.purging import purge
from objects.reading import hashed
from uploads.models import Upload, UploadPart
from django.db.models import Sum
from django.utils import timezone
def kept(directory):
    try:
        directories, files = storages["default"].listdir(directory)
    except FileNotFoundError:
        return []
    found = [f"{directory}/{name}" for name in files]
    for name in directories:
        found += kept(f"{directory}/{name}")
    return found
def look():
    stored = Version.objects.filter(state="stored")
    broken = []
    for version in stored:
        try:
            if hashed(version.storage, version.key) != (version.size, version.sha256):
                broken.append(version.key)
        except FileNotFoundError:
            broken.append(version.key)
    keys = set(Version.objects.values_list("key", flat=True))
    keys |= set(UploadPart.objects.values_list("key", flat=True))
    tenant = Tenant.objects.get(slug="acme")
    return {
        "stored": stored.count(),
        "broken": broken,
        "without a row": sorted({*kept("tenants"), *kept("uploads")} - keys),
        "unfinished": [name for name, *_ in partwise.unfinished(storages["default"])],
        "not stored": Version.objects.exclude(state="stored").count(),
        "objects": {found.name: found.sha256 for found in
                    StoredObject.objects.filter(deleted_at=None)},
        "used": [tenant.used_bytes, tenant.reserved_bytes, tenant.reserved_objects],
        "sum": stored.aggregate(sum=Sum("size"))["sum"] or 0,
    }
output = io.StringIO()
# Uploads in parts that go on, as their senders do not any more.
call_command("jobs_worker", "--once", stdout=output)
before = look()
Upload.objects.filter(finished_at=None).update(expires_at=timezone.now())
for _ in range(2):
    call_command("uploads_sweep", stdout=output)
    call_command("objects_sweep", "--older-than=0", "--force", stdout=output)
    purge(timezone.now() + timedelta(days=2))
print(json.dumps([before, look()]))
"""


@dataclass
class Killed:
    """What a run left. ``lost`` are uploads that were acknowledged, and are not there.

    ``before`` and ``after`` are of the sweep.
    """

    kills: int
    acknowledged: int
    deleted: int
    before: dict[str, Any]
    after: dict[str, Any]
    lost: list[str]
    resumed: int
    """Times that an upload in parts went on after it was cut."""
    seconds: list[float]
    """From each kill until something was answered again."""


@dataclass
class Client:
    """Uploads and deletes by names of its own, one after another.

    Every second upload is one in parts (tus), where ``is_in_parts``: it goes on after a
    kill, three times of four.
    """

    number: int
    random: random.Random
    is_in_parts: bool = False
    certain: dict[str, str] = field(default_factory=dict)
    """By name, the SHA-256 of what must be there: nothing was sent since."""
    acknowledged: int = 0
    resumed: int = 0
    deleted: int = 0
    answered: int = 0

    def act(self, api: str, session: requests.Session) -> None:
        name = f"{self.number}-{self.random.randrange(8)}.bin"
        size = self.random.choice(SIZES)
        content = self.random.randbytes(size)
        sha256 = hashlib.sha256(content).hexdigest()
        self.certain.pop(name, None)
        if self.is_in_parts and size and self.random.random() < 0.5:
            if self._send_parts(f"{api}/uploads/", session, name, content):
                self.acknowledged += 1
                self.certain[name] = sha256
            return
        response = session.put(f"{api}/content/{name}", data=content, timeout=PATIENCE)
        self.answered += 1
        if response.status_code not in (200, 201):
            return
        self.acknowledged += 1
        self.certain[name] = sha256
        if self.random.random() < 0.3:
            # Without an answer it may be there still, or be gone.
            self.certain.pop(name)
            url = f"{api}/objects/{response.json()['id']}/"
            done = session.delete(url, timeout=PATIENCE)
            self.deleted += done.status_code == 204

    def _send_parts(
        self, create: str, session: requests.Session, name: str, content: bytes
    ) -> bool:
        """Upload by tus, in four requests or more; whether it is stored for certain."""
        tus = {"Tus-Resumable": "1.0.0"}
        told = b64encode(name.encode()).decode()
        new = {"Upload-Length": str(len(content)), "Upload-Metadata": f"name {told}"}
        made = session.post(create, headers=tus | new, timeout=PATIENCE)
        self.answered += 1
        if made.status_code != 201:
            return False
        url, offset, is_cut = made.headers["Location"], 0, False
        while True:
            try:
                if is_cut:
                    said = session.head(url, headers=tus, timeout=PATIENCE)
                    if said.status_code == 423:  # The one that was cut has it still.
                        time.sleep(0.05)
                        continue
                    if said.status_code != 200 or "Job-Id" in said.headers:
                        return False
                    offset, is_cut = int(said.headers["Upload-Offset"]), False
                    self.resumed += 1
                    if offset == len(content):
                        return True
                part = content[offset : offset + -(-len(content) // 4)]
                where = {"Upload-Offset": str(offset), "Content-Type": PART}
                sent = session.patch(
                    url, data=part, headers=tus | where, timeout=PATIENCE
                )
                self.answered += 1
            except requests.RequestException:
                if self.random.random() < 0.25:
                    return False
                is_cut = True
                continue
            if sent.status_code != 204:
                return False
            offset += len(part)
            if offset == len(content):
                return "Job-Id" not in sent.headers


def run(
    environment: Environment,
    work: Path,
    kills: int,
    seed: int,
    longest: float = 0.6,
    *,
    is_in_parts: bool = False,
) -> Killed:
    """Kill the web process so often, each time after up to ``longest`` seconds.

    ``is_in_parts``: half of the uploads are resumable ones.
    """
    chance = random.Random(seed)
    environment = environment | {"THROTTLE_USER": "off", "THROTTLE_TENANT": "off"}
    make_tables(environment)
    tokens = [_access(_shell(environment, FILL))]
    clients = [Client(n, random.Random(seed + n), is_in_parts) for n in range(CLIENTS)]
    stop = threading.Event()
    seconds = []
    options = ["--preload", "--workers=1", "--threads=8", "--log-level=error"]
    with served_by(environment, work / "site.log", *options) as (site, server):
        api = f"{site.address}/api/v1"

        def work_on(client: Client) -> None:
            with requests.Session() as session:
                session.trust_env = False
                while not stop.is_set():
                    session.headers["Authorization"] = f"Bearer {tokens[-1]}"
                    with contextlib.suppress(requests.RequestException):
                        client.act(api, session)

        threads = [threading.Thread(target=work_on, args=(one,)) for one in clients]
        for thread in threads:
            thread.start()
        try:
            renewed = time.monotonic()
            _wait_for_answer(clients)
            for _ in range(kills):
                victim = _worker(server.pid)
                # At work again: then at a random moment of what it does.
                time.sleep(chance.uniform(0.0, longest))
                os.kill(victim, signal.SIGKILL)
                killed = time.monotonic()
                _worker(server.pid, other_than=victim)
                _wait_for_answer(clients)
                seconds.append(time.monotonic() - killed)
                if time.monotonic() - renewed > PATIENCE:
                    tokens.append(_access(manage(environment, *_TOKEN)))
                    renewed = time.monotonic()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    before, after = json.loads(_shell(environment, LOOK))
    there = after["objects"]
    lost = [
        name
        for client in clients
        for name, sha256 in client.certain.items()
        if there.get(name) != sha256
    ]
    return Killed(
        kills,
        sum(client.acknowledged for client in clients),
        sum(client.deleted for client in clients),
        before,
        after,
        lost,
        sum(client.resumed for client in clients),
        seconds,
    )


def _wait_for_answer(clients: list[Client]) -> None:
    before = sum(client.answered for client in clients)
    deadline = time.monotonic() + PATIENCE
    while sum(client.answered for client in clients) == before:
        assert time.monotonic() < deadline, "nothing is answered"
        time.sleep(0.01)


def _access(said: str) -> str:
    return str(json.loads(said.splitlines()[-1])["access"])


def _shell(environment: Environment, script: str) -> str:
    """Return the last line that a script prints within the application."""
    said = manage(environment, "shell", "--verbosity=0", "--command", script)
    return said.splitlines()[-1]


def _worker(master: int, other_than: int | None = None) -> int:
    """Wait for gunicorn's worker, another than that one, and return its id."""
    children = Path(f"/proc/{master}/task/{master}/children")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [int(pid) for pid in children.read_text().split()]
        alive = [pid for pid in found if pid != other_than]
        if alive:
            return alive[0]
        time.sleep(0.01)
    raise AssertionError("gunicorn has no worker")
