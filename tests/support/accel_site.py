"""A small site behind a real nginx, which carries what the site allows."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tahoestorage.config.options import Options
from tahoestorage.proxy.internal import location
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support.nginx_server import run_nginx

PREFIX = "/_tahoe/"
# A site in a process of its own. What it is told comes by its environment.
SITE = """
import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["tahoestorage"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "django.middleware.gzip.GZipMiddleware",
    ],
    ROOT_URLCONF="site_of_tests",
    SECRET_KEY="of-the-tests",
    STORAGES={"default": {"BACKEND": "tahoestorage.storage.TahoeStorage"}},
    TAHOE_ACCEL_REDIRECT="/_tahoe/",
    TAHOE_STORAGE_BASE_CAP_FILE=os.environ["CAP_FILE"],
    TAHOE_STORAGE_BASE_URL=os.environ["GATEWAY"],
    TAHOE_STORAGE_CACHE={"directory": os.environ["CACHE"]},
)
django.setup()

from django.core.wsgi import get_wsgi_application
from django.urls import include, path

from tahoestorage.serving import Download

urlpatterns = [
    path("media/", include("tahoestorage.urls")),
    path("kept/<path:name>", Download.as_view(max_age=300, as_attachment=True)),
    path("own/<path:name>", Download.as_view(trusted=True)),
]
application = get_wsgi_application()
"""


@contextlib.contextmanager
def running(
    directory: Path, storage: TahoeStorage, grid: LocalGrid, gateway: str
) -> Iterator[tuple[str, int]]:
    """Run the site and nginx, which asks ``gateway``, within the block."""
    (directory / "site_of_tests.py").write_text(SITE)
    cap_file = directory / "root.cap"
    cap_file.write_text(storage.options.root.uri)
    listener = socket.create_server(("127.0.0.1", 0))
    environment = os.environ | {
        "CACHE": str(storage._given["cache"]["directory"]),
        "CAP_FILE": str(cap_file),
        "GATEWAY": grid.base_url,
    }
    bind = f"--bind=fd://{listener.fileno()}"
    command = [
        "-m",
        "gunicorn",
        "site_of_tests",
        bind,
        "--threads=4",
    ]
    with listener, (directory / "site.log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        port = listener.getsockname()[1]
    options = Options(base_url=gateway, read_timeout=30)
    text = (
        f"server {{ listen LISTEN; location / {{ proxy_pass http://127.0.0.1:{port};\n"
        f"proxy_set_header Host $host; }}\n{location(options, PREFIX)} }}"
    )
    try:
        with run_nginx(directory, text) as address:
            yield address, server.pid
    finally:
        server.terminate()
        server.wait(60)


def memory(process: int) -> int:
    """The most that a process and its children ever held, in bytes, added up."""
    here = Path("/proc", str(process))
    peak = re.search(r"VmHWM:\s+(\d+) kB", (here / "status").read_text())
    assert peak
    children = (here / "task" / str(process) / "children").read_text().split()
    return int(peak[1]) * 1024 + sum(memory(int(child)) for child in children)
