"""A new release takes over while somebody is uploading, and nobody finds it closed."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.application.deploy.trials import processes
from tests.application.deploy.units import lines_of
from tests.application.site import (
    Environment,
    bare_environment,
    make_tables_and_user,
    manage,
    served_by,
)

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
        f"PUT /api/v1/content/a.bin HTTP/1.1\r\nHost: {parts.netloc}\r\n"
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
    found = requests.get(f"{address}/health/process", timeout=PATIENCE)
    return found.status_code == 200


def test_a_reload_lets_uploads_end_while_the_new_code_answers(
    environment: Environment, tmp_path: Path
) -> None:
    """What the unit starts, and what `systemctl reload` does to it."""
    (line,) = lines_of("store-web.service", "ExecStart")
    _, application, _, _, *options = shlex.split(line)
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
