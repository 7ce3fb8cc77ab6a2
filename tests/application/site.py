"""The application, served as its visitors meet it, and how it is administered."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import requests
from PIL import Image

from tahoestorage.testing.grid import LocalGrid
from tests.application.once import once

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "example"
EVENTS = "/events/"
EVENT = "/events/storage-day/"
ORGANISER = "organiser"  # of the demonstration's event
SLIDES_FORM = EVENT + "add-slides/"
PHOTO_FORM = EVENT + "add-photo/"
PASSWORD = "of-the-tests"

Environment = dict[str, str]


class Site:
    """The example, served; what a browser without scripts does to it."""

    def __init__(self, address: str, log: Path) -> None:
        self.address, self.log = address, log
        self.visitor = requests.Session()
        self.visitor.trust_env = False

    def get(self, path: str) -> requests.Response:
        return self.visitor.get(self.address + path, timeout=60)

    def post(
        self,
        path: str,
        fields: dict[str, str],
        *,
        file: tuple[str, str, bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a form as it was got; `file` is its field, its name and its content."""
        page = self.get(path).text
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)
        assert token, page
        return self.visitor.post(
            self.address + path,
            {"csrfmiddlewaretoken": token[1], **fields},
            files={file[0]: file[1:]} if file else None,
            headers=headers,
            allow_redirects=False,
            timeout=60,
        )

    def sign_in(self, name: str = ORGANISER) -> str:
        """Sign in unless somebody is, and return the cookie that says so."""
        if "sessionid" not in self.visitor.cookies:
            signed_in = self.post(
                "/accounts/sign-in/", {"username": name, "password": PASSWORD}
            )
            assert signed_in.status_code == 302, signed_in.text
        return str(self.visitor.cookies["sessionid"])

    def add_slides(self, title: str, name: str, content: bytes) -> requests.Response:
        self.sign_in()
        return self.post(SLIDES_FORM, {"title": title}, file=("slides", name, content))

    def link(self, title: str) -> str:
        """Return the link to the slides of a session, as the event's page has it."""
        page = self.get(EVENT).text
        found = re.search(rf'<h3>{title}</h3>.*?<a href="([^"]+)"', page, re.DOTALL)
        assert found, page
        return found[1]


def manage(environment: Environment, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings_of(environment: Environment, wanted: Iterable[str]) -> list[object]:
    """Return what a process with just this environment has of the settings."""
    listed = ", ".join(f"settings.{each}" for each in wanted)
    code = "import json; from django.conf import settings; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(json.dumps([{listed}]))"],
        cwd=EXAMPLE,
        env={
            **environment,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def make_tables(environment: Environment) -> None:
    """Make the tables of a new site in SQLite: a copy, for to migrate takes long.

    A database of PostgreSQL has them: `postgres_tables` makes it. Where a site migrates
    that was there before, that is a test's own.
    """
    if "DATABASE_URL" not in environment:
        shutil.copyfile(once("tables.sqlite3", _migrate), environment["DATABASE"])


def _migrate(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = bare_environment(Path(folder)) | {
            "STORAGE_URL": "memory://",
            "DATABASE": str(path),
        }
        environment.pop("DATABASE_URL", None)
        manage(environment, "migrate", "--verbosity=0")


def make_thumbnails(environment: Environment, site: Site) -> None:
    """Have the small pictures of the event made: asked for, and done by a worker."""
    for path in thumbnails_of(site.get(EVENT).text):
        site.get(path).raise_for_status()
    manage(environment, "jobs_worker", "--once")


def thumbnails_of(page: str) -> list[str]:
    """Return what the page of an event shows of its photos."""
    return re.findall(r'<img src="([^"]+)" alt="Photo of', page)


@contextlib.contextmanager
def served(environment: Environment, log: Path) -> Iterator[Site]:
    with served_by(environment, log) as (site, _):
        yield site


@contextlib.contextmanager
def served_by(
    environment: Environment, log: Path, *options: str
) -> Iterator[tuple[Site, subprocess.Popen[bytes]]]:
    """Serve it by gunicorn with these options, and yield that process beside it."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    command = ["-m", "gunicorn", "config.wsgi", f"--bind=fd://{listener.fileno()}"]
    with listener, log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *command, *options],
            cwd=EXAMPLE,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
        )
    site = Site(address, log)
    try:
        with site.visitor:
            site.get("/").raise_for_status()
            yield site, server
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def working(environment: Environment, log: Path) -> Iterator[None]:
    """Have a worker do the site's jobs."""
    command = [sys.executable, "manage.py", "jobs_worker"]
    with log.open("wb") as output:
        worker = subprocess.Popen(
            command, cwd=EXAMPLE, env=environment, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def grid_environment(grid: LocalGrid, directory: Path) -> Environment:
    """The environment of a new site on the grid, with its demonstration data."""
    cap_file = directory / "root.cap"
    cap_file.write_text(grid.create_root().uri)
    environment = bare_environment(directory) | {
        "TAHOE_STORAGE_BASE_URL": grid.base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(cap_file),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
    }
    make_tables(environment)
    manage(environment, "demo_data", "--superuser=demo")
    return environment


def make_tables_and_user(environment: Environment) -> None:
    """Fill the site's new database: its tables, and the user ann of a tenant."""
    make_tables(environment)
    code = (
        "from accounts.models import Tenant, User\n"
        "t = Tenant.objects.create(name='A', slug='a')\n"
        "User.objects.create_user('ann', tenant=t)"
    )
    manage(environment, "shell", "--no-imports", "-c", code)


def token_of_ann(environment: Environment) -> str:
    """Return an access token; one is good for five minutes, and is given for two."""
    site = environment.get("DATABASE_URL", ""), environment.get("DATABASE", "")
    made, token = _tokens.get(site, (-math.inf, ""))
    if time.monotonic() - made > 120:
        made = time.monotonic()
        token = json.loads(manage(environment, "createusertoken", "ann"))["access"]
        _tokens[site] = made, token
    return token


_tokens: dict[tuple[str, str], tuple[float, str]] = {}


def bare_environment(directory: Path) -> Environment:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TAHOE_")}
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": secrets.token_hex(),
        "TOKEN_SIGNING_KEY": secrets.token_hex(),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE": str(directory / "site.sqlite3"),
        "MEDIA_ROOT": str(directory / "media"),
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }


def run_commands(blocks: Iterable[str], directory: Path) -> str:
    """Run the commands of a guide on a new site; return what they print."""
    environment = bare_environment(directory)
    programs = os.path.dirname(sys.executable)
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    make_tables(environment)
    script = "\n".join(blocks)
    script = script.replace("python manage.py", f"python {EXAMPLE}/manage.py")
    with served(environment, directory / "site.log") as site:
        done = subprocess.run(
            ["sh", "-euc", script.replace("http://127.0.0.1:8000", site.address)],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lose(environment: Environment, name: str) -> None:
    """Delete the bytes of the object of that name behind the site's back."""
    code = (
        "from objects.models import Version\n"
        f"version = Version.objects.get(object__name={name!r})\n"
        "version.storage.delete(version.key)"
    )
    manage(environment, "shell", "--no-imports", "-c", code)


def without_gateway(environment: Environment) -> Environment:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    return environment | {"TAHOE_STORAGE_BASE_URL": nobody}


def image(format: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(content, format)
    return content.getvalue()
