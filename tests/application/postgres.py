"""A real PostgreSQL for tests, in a folder of its own, stopped by its process."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.application.once import once
from tests.application.site import bare_environment, manage
from tests.support.ports import free_port

PATIENCE = 60  # seconds; only an error takes so long
TABLES = "tables"
"""A database with the application's tables, as a template of others."""
OWNER = "store"
"""The role that has made its tables, and may do nothing beyond them."""


class Postgres:
    """A running server; its databases are gone with it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._made = 0

    def url(self, database: str, role: str = "postgres") -> str:
        """Return what DATABASE_URL says of that database."""
        return f"postgres://{role}@127.0.0.1:{self._port}/{database}"

    def make_database(self, template: str = "template1") -> str:
        """Make a new database, empty or as the template is, and return its URL.

        Nobody may be connected to the template.
        """
        self._made += 1
        name = f"made_{os.getpid()}_{self._made}"
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def connect(self, database: str) -> psycopg.Connection:
        """Return a connection in which each statement is a transaction."""
        return psycopg.connect(self.url(database), autocommit=True)


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs; PATH lacks Debian's."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    there = shutil.which("postgres")
    return Path(there).parent if there else None


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """Run one within the block; skip the test where there is none to run.

    It has `TABLES`, and is a copy: to make it, and to migrate, takes long.
    """
    with _directory() as (directory, user):
        _copy(once("postgres", _make_data), directory / "data")
        with _started(directory, user) as postgres:
            yield postgres


def _make_data(path: Path) -> None:
    with _directory() as (directory, user):
        _init(directory, user)
        with _started(directory, user) as postgres:
            with postgres.connect("postgres") as connection:
                connection.execute(f"CREATE ROLE {OWNER} LOGIN")
                connection.execute(f"CREATE DATABASE {TABLES} OWNER {OWNER}")
            environment = bare_environment(directory)
            url = {"DATABASE_URL": postgres.url(TABLES, OWNER)}
            manage(environment | url, "migrate", "--verbosity=0")
        _copy(directory / "data", path)


def _copy(data: Path, to: Path) -> None:
    # With its owner, whom PostgreSQL asks for.
    subprocess.run(["cp", "-a", data, to], check=True)


@contextlib.contextmanager
def _directory() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Make a folder for a server, and tell as whom it is to run."""
    if programs() is None:
        pytest.skip("there is no PostgreSQL here: apt-get install postgresql")
    # Not in pytest's folders, which are for their owner alone: PostgreSQL refuses to
    # run as root, and is another user's then.
    with tempfile.TemporaryDirectory(prefix="postgres-") as made:
        directory = Path(made)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        yield directory, user


def _program(name: str) -> str:
    folder = programs()
    assert folder is not None
    return str(folder / name)


def _init(directory: Path, user: dict[str, Any]) -> None:
    initdb = [_program("initdb"), "-D", str(directory / "data"), "-U", "postgres"]
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [*initdb, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **user,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")


@contextlib.contextmanager
def _started(directory: Path, user: dict[str, Any]) -> Iterator[Postgres]:
    port, log = free_port(), directory / "log"
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": directory,
        "max_connections": 200,
        "fsync": "off",
    }
    settings = [f"-c{name}={value}" for name, value in options.items()]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [_program("postgres"), "-D", "data", "-p", str(port), *settings],
            cwd=directory,
            stdout=output,
            stderr=subprocess.STDOUT,
            **user,
        )
    try:
        postgres = Postgres(port)
        wait_for(postgres, server, log)
        yield postgres
    finally:
        server.send_signal(signal.SIGINT)  # Ends connections, and then itself.
        server.wait(PATIENCE)


def wait_for(postgres: Postgres, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once it takes connections."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            postgres.connect("postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")) from None
            time.sleep(0.02)
