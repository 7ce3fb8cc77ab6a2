"""The application, served as its visitors meet it, and how it is administered."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests
from PIL import Image

from tahoestorage.testing.grid import LocalGrid

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "example"
EVENT = "/events/storage-day/"
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
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', self.get(path).text)
        assert token
        return self.visitor.post(
            self.address + path,
            {"csrfmiddlewaretoken": token[1], **fields},
            files={file[0]: file[1:]} if file else None,
            headers=headers,
            allow_redirects=False,
            timeout=60,
        )

    def add_slides(self, title: str, name: str, content: bytes) -> requests.Response:
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


def grid_environment(grid: LocalGrid, directory: Path) -> Environment:
    """The environment of a new site on the grid, with its demonstration data."""
    cap_file = directory / "root.cap"
    cap_file.write_text(grid.create_root().uri)
    environment = bare_environment(directory) | {
        "TAHOE_STORAGE_BASE_URL": grid.base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(cap_file),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
    }
    manage(environment, "migrate", "--verbosity=0")
    manage(environment, "demo_data", "--superuser=demo")
    return environment


def make_tables_and_user(environment: Environment) -> None:
    """Fill the site's new database: its tables, and the user ann of a tenant."""
    manage(environment, "migrate", "--verbosity=0")
    code = (
        "from accounts.models import Tenant, User\n"
        "t = Tenant.objects.create(name='A', slug='a')\n"
        "User.objects.create_user('ann', tenant=t)"
    )
    manage(environment, "shell", "--no-imports", "-c", code)


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


def without_gateway(environment: Environment) -> Environment:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    return environment | {"TAHOE_STORAGE_BASE_URL": nobody}


def image(format: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(content, format)
    return content.getvalue()
