"""The service as Cloud Run runs it, of real parts on this machine.

The container's own command gets the environment that `service.yaml` gives it, and
Cloud Run's own: a port, a PostgreSQL with a password, by TCP or at a socket in a
directory like `/cloudsql/…`, secrets in variables and as a mounted file, buckets of an
emulator, a server that signs URLs as IAM does, and a tmpfs as the only place that can
be written to. Google's library asks an emulator as nobody: so the stores have a key.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.application.deploy.definitions import definitions, environment
from tests.application.postgres import OWNER, TABLES, Postgres
from tests.application.site import EXAMPLE, Environment, manage, token_of_ann
from tests.support.gcs_servers import EMAIL, GCS
from tests.support.ports import free_port

ENTRYPOINT = EXAMPLE / "deploy" / "gcp" / "entrypoint.sh"
HOST = "files.example.org"
PATIENCE = 120  # seconds; only an error takes so long


@dataclass
class Cloud:
    """What a service finds around it."""

    directory: Path
    """What it has for /tmp and for the folders of mounted secrets outside `service`."""
    bucket: str
    static_bucket: str
    environment: Environment = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    """Those of Secret Manager, by their names there."""
    host: str
    """Where PostgreSQL is by TCP, as HOST:PORT."""
    socket: str
    """The same as a directory with a socket, as Cloud SQL has it."""
    database: str

    def database_url(self, *, by_socket: bool) -> str:
        """Return it without the password, which is a secret by itself."""
        at = f"/{self.socket}" if by_socket else self.host
        return f"postgres://{OWNER}@{at}/{self.database}"

    def renew_password(self, password: str) -> None:
        """Add a version of the secret: what is mounted is that one from now on."""
        self.secrets["store-database-password"] = password
        Path(self.environment["DATABASE_PASSWORD_FILE"]).write_text(password)


def set_password(postgres: Postgres, password: str) -> None:
    with postgres.connect("postgres") as connection:
        connection.execute(f"ALTER ROLE {OWNER} PASSWORD '{password}'")


@contextlib.contextmanager
def made_cloud(postgres: Postgres, gcs: GCS, directory: Path) -> Iterator[Cloud]:
    """Make a user's password, a database of its, buckets and secrets.

    Static files are not collected: that is `collectstatic`, where pages are asked for.
    """
    url = postgres.make_database(TABLES)
    host, database = url.rpartition("@")[2].split("/")
    password = secrets.token_urlsafe()
    with postgres.connect("postgres") as connection:
        (hba,) = connection.execute("SHOW hba_file").fetchone()  # type: ignore[misc]
        (sockets,) = connection.execute("SHOW unix_socket_directories").fetchone()  # type: ignore[misc]
        rules = Path(hba).read_text()
        if OWNER not in rules:
            mine = f"host all {OWNER} 127.0.0.1/32 {{0}}\nlocal all {OWNER} {{0}}\n"
            Path(hba).write_text(mine.format("scram-sha-256") + rules)
            connection.execute("SELECT pg_reload_conf()")
        connection.execute(f'ALTER DATABASE "{database}" OWNER TO {OWNER}')
    set_password(postgres, password)
    bucket, static = gcs.make_bucket(), gcs.make_bucket()
    # A path of a socket has about a hundred bytes at most.
    with tempfile.TemporaryDirectory(prefix="sql-") as short:
        instance = Path(short, "project:region:name")
        instance.mkdir()
        port = host.rpartition(":")[2]
        (instance / ".s.PGSQL.5432").symlink_to(Path(sockets, f".s.PGSQL.{port}"))
        kept = {
            "store-secret-key": secrets.token_urlsafe(48),
            "store-token-signing-key": secrets.token_urlsafe(48),
            "store-email-url": f"smtp+tls://site:{secrets.token_urlsafe()}@127.0.0.1:9",
            "store-database-password": password,
        }
        deployed = definition(bucket, static, database)
        given = environment(deployed, kept, directory)
        cloud = Cloud(
            directory, bucket, static, given, kept, host, str(instance), database
        )
        disk = given["TAHOE_STORAGE_CACHE_DIRECTORY"].replace("/tmp", str(directory))
        key = directory / "key.json"
        key.write_text(json.dumps(gcs.accounts.key_file()))
        for name in ("STORAGE_URL", "STATIC_STORAGE_URL"):
            given[name] += f"&credentials_file={key}"
        cloud.environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "K_SERVICE": "store",
            "K_REVISION": "store-00001-abc",
            "K_CONFIGURATION": "store",
            "DATABASE_URL": cloud.database_url(by_socket=False),
            "TAHOE_STORAGE_CACHE_DIRECTORY": disk,
            "STORAGE_EMULATOR_HOST": gcs.url,
            **signed_elsewhere(gcs, directory),
        }
        if "PYTHONPATH" in os.environ:
            cloud.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        code = (
            "from accounts.models import Tenant, User\n"
            "t = Tenant.objects.create(name='A', slug='a')\n"
            "User.objects.create_user('ann', tenant=t)"
        )
        manage(cloud.environment, "shell", "--no-imports", "-c", code)
        yield cloud


def definition(bucket: str, static: str, database: str) -> dict[str, Any]:
    """Return what the build deploys as the service, with what there is here."""
    return definitions(
        SERVICE="store",
        PROJECT="tests",
        SERVICE_ACCOUNT=EMAIL,
        HOST=HOST,
        HOSTS=HOST,
        MAIL_FROM=f"store@{HOST}",
        DATABASE_USER=OWNER,
        DATABASE_NAME=database,
        MEDIA_BUCKET=bucket,
        STATIC_BUCKET=static,
        RELEASE="0123456789abcdef",
    )["service.yaml"]


def signed_elsewhere(gcs: GCS, directory: Path) -> Environment:
    """Lead Google's library to a server that signs as IAM does.

    No variable does that, and so gunicorn's workers are told: by a copy of the site's
    own file, in place of which gunicorn reads the one that it is given.
    """
    signing = f"{gcs.accounts.url}/v1/projects/-/serviceAccounts/{{}}:signBlob"
    hook = (EXAMPLE / "gunicorn.conf.py").read_text() + (
        "\n\ndef post_worker_init(worker):\n"
        "    import google.auth.iam\n"
        f"    google.auth.iam._IAM_SIGN_ENDPOINT = {signing!r}\n"
    )
    file = directory / "gunicorn.conf.py"
    file.write_text(hook)
    return {"GUNICORN_CMD_ARGS": f"--config={file}"}


class Service:
    """A running instance, and requests as Cloud Run's front hands them on."""

    def __init__(
        self, address: str, process: subprocess.Popen[bytes], log: Path
    ) -> None:
        self.address, self.process, self.log = address, process, log
        self.visitor = requests.Session()
        self.visitor.trust_env = False
        self.visitor.mount("http://", HTTPAdapter(pool_maxsize=64))
        self.visitor.headers.update(
            {
                "Host": HOST,
                "X-Forwarded-Proto": "https",
                "X-Forwarded-For": "203.0.113.7",
            }
        )

    def sign_in(self, environment: Environment) -> None:
        """Be ann from here on, by a token."""
        self.visitor.headers["Authorization"] = f"Bearer {token_of_ann(environment)}"

    def get(self, path: str) -> requests.Response:
        return self.visitor.get(
            self.address + path, timeout=PATIENCE, allow_redirects=False
        )

    def put(self, name: str, content: object) -> requests.Response:
        """Store an object by one request."""
        url = f"{self.address}/api/v1/content/{name}"
        return self.visitor.put(url, data=content, timeout=PATIENCE)  # type: ignore[arg-type]

    def fetch(self, path: str) -> requests.Response:
        """GET it, from the bucket where the service leads there by a signed URL."""
        answer = self.get(path)
        if answer.status_code == 302:
            return requests.get(answer.headers["Location"], timeout=PATIENCE)
        return answer

    def content(self, object_id: object) -> bytes | None:
        """Return what an object holds, or None where there is nothing to be had."""
        read = self.fetch(f"/api/v1/objects/{object_id}/content/")
        return read.content if read.status_code == 200 else None

    def wait(self) -> None:
        """Return once it takes requests, as the start-up probe does."""
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(requests.ConnectionError):
                self.visitor.get(f"{self.address}/health/process", timeout=PATIENCE)
                return
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(self.log.read_text(errors="replace"))
            time.sleep(0.02)


@contextlib.contextmanager
def service(
    environment: Environment, disk: Path, *, megabytes: int = 64
) -> Iterator[Service]:
    """Run the container's command within the block; it takes requests by then.

    ``disk`` is a folder in which it sees a new tmpfs of that size: that is its /tmp
    and, as in the image, its home. All else is read-only to it.
    """
    port, log = free_port(), disk.with_suffix(".log")
    disk.mkdir(exist_ok=True)
    where = shlex.quote(str(disk))
    prelude = (
        f"mount --rbind / / && mount -o remount,bind,ro / && "
        f"mount -t tmpfs -o size={megabytes}m none {where} && "
        f"cd {shlex.quote(str(EXAMPLE))} && "
        f"exec sh {shlex.quote(str(ENTRYPOINT))}"
    )
    whole = environment | {
        "PORT": str(port),
        "TMPDIR": str(disk),
        "HOME": str(disk),
        "TAHOE_STORAGE_CACHE_DIRECTORY": f"{disk}/cache",
    }
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["unshare", *mapped, "--mount", "sh", "-ec", prelude],
            env=whole,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        running = Service(f"http://127.0.0.1:{port}", process, log)
        with running.visitor:
            running.wait()
            yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
