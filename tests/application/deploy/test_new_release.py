"""A new release takes over while somebody is uploading, and nobody finds it closed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.application.deploy.trials import processes
from tests.application.deploy.units import COMPOSE, OWN, lines_of, told
from tests.application.site import (
    EXAMPLE,
    ROOT,
    Environment,
    bare_environment,
    make_tables_and_user,
    manage,
    served_by,
)
from tests.support.nginx_server import running, whole
from tests.support.ports import free_port

PATIENCE = 60  # seconds; only an error takes so long
CONTENT = b"0123456789abcdef" * 4096


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = bare_environment(tmp_path_factory.mktemp("site"))
    make_tables_and_user(made)
    return made


def wait_until(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextlib.contextmanager
def upload(address: str, environment: Environment) -> Iterator[Callable[[], bytes]]:
    """Send the first half of a file within the block; yield what sends the other.

    That returns the first line of the response. By then a worker has the request, for
    it has asked for the body.
    """
    token = json.loads(manage(environment, "createusertoken", "ann"))["access"]
    parts = urlsplit(address)
    head = (
        f"PUT /api/v1/content/{time.monotonic_ns()}.bin HTTP/1.1\r\n"
        f"Host: {parts.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(CONTENT)}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    half = len(CONTENT) // 2
    with socket.create_connection((parts.hostname, parts.port), PATIENCE) as sender:
        sender.sendall(head.encode())
        assert b"100 Continue" in sender.recv(1000)
        sender.sendall(CONTENT[:half])

        def go_on() -> bytes:
            sender.sendall(CONTENT[half:])
            with sender.makefile("rb") as response:
                return response.readline().strip()

        yield go_on


def is_alive(address: str) -> bool:
    # A connection each time, as from another visitor.
    found = requests.get(f"{address}/accounts/sign-in/", timeout=PATIENCE)
    return found.status_code == 200


def test_a_reload_lets_uploads_end_while_the_new_code_answers(
    environment: Environment, tmp_path: Path
) -> None:
    """What the unit starts, and what `systemctl reload` does to it."""
    (line,) = lines_of("store-web.service", "ExecStart")
    words = shlex.split(line)
    application, _, _, _, _, *options = words[words.index("gunicorn") + 1 :]
    (reload,) = lines_of("store-web.service", "ExecReload")

    with served_by(environment, tmp_path / "log", *options) as (site, server):
        old = set(processes(server.pid)[1:])
        with upload(site.address, environment) as go_on:
            command = reload.replace("$MAINPID", str(server.pid))
            subprocess.run(shlex.split(command), check=True)
            # One of them has the upload; the other had nothing to do.
            wait_until(lambda: len(old & set(processes(server.pid))) == 1)
            meanwhile = [is_alive(site.address) for _ in range(20)]
            busy = old & set(processes(server.pid))
            told = go_on()
        wait_until(lambda: not old & set(processes(server.pid)))
        after = is_alive(site.address)

    assert application == "config.wsgi"
    assert len(old) == 2
    assert all(meanwhile)
    assert len(busy) == 1
    assert told == b"HTTP/1.1 201 Created"
    assert after


RELEASED = """
import release_of_packages
_application = application

def application(environ, start_response):
    def start(status, headers, *more):
        headers.append(("X-Release", release_of_packages.NUMBER))
        return start_response(status, headers, *more)
    return _application(environ, start)
"""


def make_release(root: Path, number: int) -> Path:
    """Make a release's tree, and an environment with the packages of the tests."""
    tree = root / f"store-{number}"
    ignored = shutil.ignore_patterns("__pycache__", "deploy", "static", "media")
    shutil.copytree(EXAMPLE, tree / "example", ignore=ignored)
    static = Path("example", "pages", "static")
    shutil.copytree(ROOT / static, tree / static)
    with (tree / "example" / "config" / "wsgi.py").open("a") as file:
        file.write(RELEASED)
    venv = tree / ".venv"
    command = [sys.executable, "-m", "venv", "--without-pip", str(venv)]
    subprocess.run(command, check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "release_of_packages.py").write_text(f"NUMBER = '{number}'\n")
    (packages / "tests.pth").write_text("\n".join(filter(None, sys.path)))
    return tree


def change(tree: Path) -> None:
    """Give a page another template, with a static file that was not there before."""
    pages, template = tree / "example" / "pages", "accounts/sign_in.html"
    (pages / "static" / "pages" / "new.css").write_text("p { color: red }")
    with (pages / "static" / "pages" / "site.css").open("a") as file:
        file.write("/* changed */")
    (path,) = (tree / "example").rglob(template)
    text = path.read_text()
    added = "{% load static %}<link href=\"{% static 'pages/new.css' %}\">"
    path.write_text(text.replace("{% block content %}", "{% block content %}" + added))
    assert added in path.read_text()


def test_workers_keep_to_their_release_until_a_reload(
    environment: Environment, tmp_path: Path
) -> None:
    """By the unit's command and the guide's, but for who is told and where that is."""
    first, second = (make_release(tmp_path, number) for number in (1, 2))
    change(second)
    (tmp_path / "store").symlink_to("store-1")
    given = environment | {"STATIC_ROOT": "static"}

    def run(*script: str) -> None:
        manage = 'manage() { ../.venv/bin/python manage.py "$@"; }'
        lines = "\n".join([manage, *script]).replace("/srv/", f"{tmp_path}/")
        lines = lines.replace("store-0.3.0", "store-2")
        command = ["bash", "-euc", lines]
        subprocess.run(
            command, cwd=first / "example", env=given, check=True, capture_output=True
        )

    run("manage collectstatic --no-input")
    (old,) = (first / "example/static/pages").glob("site.*.css")
    (line,) = lines_of("store-web.service", "ExecStart")
    port = free_port()
    line = line.replace("/srv/", f"{tmp_path}/").replace(":8000", f":{port}")
    (reload,) = lines_of("store-web.service", "ExecReload")
    address, log = f"http://127.0.0.1:{port}", tmp_path / "log"

    def asked(path: str) -> list[requests.Response]:
        return [requests.get(address + path, timeout=PATIENCE) for _ in range(8)]

    def told_of(pages: list[requests.Response]) -> set[tuple[int, str, bool]]:
        return {
            (page.status_code, page.headers["X-Release"], "pages/new." in page.text)
            for page in pages
        }

    with log.open("wb") as output:
        server = subprocess.Popen(
            shlex.split(line),
            cwd=tmp_path / "store" / "example",
            env=given,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Booting worker" in log.read_text())
        before = {page.headers["X-Release"] for page in asked("/healthz")}
        starts = r"cd /srv/store-0.3.0/ex|manage migrate &&|ln -s store-0.3.0"
        commands = [one for one in told() if re.match(starts, one)]
        run(*commands)
        # A template that nobody has asked for yet.
        meanwhile = told_of(asked("/accounts/sign-in/"))
        workers = set(processes(server.pid)[1:])
        command = reload.replace("$MAINPID", str(server.pid))
        subprocess.run(shlex.split(command), check=True)
        wait_until(lambda: not workers & set(processes(server.pid)))
        pages = asked("/accounts/sign-in/")
        (new,) = set(re.findall(r"/static/pages/new\.\w+\.css", pages[0].text))
        styles = [
            asked(path)[0].status_code for path in (new, f"/static/pages/{old.name}")
        ]
    finally:
        server.terminate()
        server.wait(PATIENCE)

    assert len(commands) == 3
    assert before == {"1"}
    assert meanwhile == {(200, "1", False)}
    assert told_of(pages) == {(200, "2", True)}
    # Who has a page of the release before gets the style sheet that it names.
    assert styles == [200, 200]


@contextlib.contextmanager
def container(
    environment: Environment, log: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run what the site's container runs, within the block."""
    site = COMPOSE["services"]["site"]["environment"]
    given = {name: str(site[name]) for name in ("WEB_WORKERS", "WEB_GRACE")}
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [EXAMPLE / "deploy" / "gcp" / "entrypoint.sh"],
            cwd=EXAMPLE,
            env=environment | given | {"PORT": str(port), "PATH": programs},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Listening at" in log.read_text())
        # Until a worker has begun, nginx asks for a body that nobody takes yet.
        assert is_alive(f"http://127.0.0.1:{port}")
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def workers(nginx: subprocess.Popen[bytes]) -> set[int]:
    return set(processes(nginx.pid)[1:])


def test_a_stand_in_answers_while_the_site_is_begun_anew(
    environment: Environment, tmp_path: Path
) -> None:
    """As the guide has it, with nginx before both."""
    front, ports = free_port(), {"8080": free_port(), "8082": free_port()}
    included, log = tmp_path / "site.conf", tmp_path / "error.log"
    (ask,) = (one for one in told() if one.startswith("ask()"))
    text = (OWN / "nginx-compose.conf").read_text()
    (server,) = (
        one for one in re.findall(r"(?ms)^server .*?^}", text) if "site.conf" in one
    )
    server = re.sub(r"^    (?:listen|ssl_|error_log).*\n", "", server, flags=re.M)
    server = server.replace("resolver 127.0.0.11 valid=10s;", "")
    server = server.replace("server_name _;", f"listen 127.0.0.1:{front};")
    server = server.replace("/etc/nginx/site.conf", str(included))
    server = server.replace("Host $host;", "Host 127.0.0.1;")

    def lead_to(port: str) -> None:
        """Have the guide's function write where nginx asks."""
        function = ask.replace("docker compose exec nginx", ":")
        command = ["bash", "-euc", f"{function}; ask {port}"]
        subprocess.run(command, cwd=tmp_path, check=True)
        said = included.read_text().replace(f"site:{port}", f"127.0.0.1:{ports[port]}")
        included.write_text(said)

    lead_to("8080")
    address = f"http://127.0.0.1:{front}"
    with (
        container(environment, tmp_path / "site", ports["8080"]) as site,
        container(environment, tmp_path / "stand-in", ports["8082"]),
        running(tmp_path, whole(server), front) as nginx,
        upload(address, environment) as go_on,
    ):
        before = workers(nginx)
        lead_to("8082")
        # What `nginx -s reload` does.
        nginx.send_signal(signal.SIGHUP)
        wait_until(lambda: workers(nginx) - before)
        wait_until(lambda: "gracefully shutting down" in log.read_text())
        site.send_signal(signal.SIGTERM)
        meanwhile = [is_alive(address) for _ in range(20)]
        is_draining = site.poll() is None
        answered = go_on()
        status = site.wait(PATIENCE)
        after = is_alive(address)

    assert all(meanwhile)
    assert is_draining
    assert answered == b"HTTP/1.1 201 Created"
    assert status == 0
    assert after
