"""The database at one moment, into a file and back, by its own tools."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from django.db import connection

SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Unable(Exception):
    """The database can't be copied here; the text says why."""


def dump(target: Path) -> None:
    """Write the database as it is at one moment, beside writers, for its owner alone.

    Raises Unable.
    """
    target.touch(0o600)
    target.chmod(0o600)
    if connection.vendor == SQLITE:
        connection.ensure_connection()
        with contextlib.closing(sqlite3.connect(target)) as copy:
            connection.connection.backup(copy)
        return
    _run("pg_dump", "--format=custom", "--no-owner", f"--file={target}")


def load(source: Path) -> None:
    """Read a database into this one, which is empty. Raises Unable."""
    if connection.introspection.table_names():
        raise Unable("The database is not empty: make a new one, and name it.")
    if connection.vendor == SQLITE:
        with contextlib.closing(sqlite3.connect(source)) as copy:
            copy.backup(connection.connection)
        return
    _run("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", source)


def _run(program: str, *options: Any) -> None:
    """Run a program of PostgreSQL's on the database; its arguments tell no password."""
    if connection.vendor != POSTGRESQL:
        raise Unable("Only SQLite and PostgreSQL are known here.")
    connection.ensure_connection()  # A password that is kept elsewhere is read now.
    client: Any = connection.client
    command, more = client.settings_to_cmd_args_env(connection.settings_dict, [])
    name = command.pop()
    arguments = [program, *command[1:], f"--dbname={name}", *map(str, options)]
    try:
        subprocess.run(arguments, env=os.environ | (more or {}), check=True)
    except FileNotFoundError:
        raise Unable(f"{program} is not installed.") from None
    except subprocess.CalledProcessError as error:
        raise Unable(f"{program} ended with status {error.returncode}.") from None
