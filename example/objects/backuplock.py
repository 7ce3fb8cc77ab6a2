"""A backup, and what deletes bytes for good, are never under way at once.

A lock says so to all hosts: one of PostgreSQL's, or on SQLite that of a file beside the
database. Neither outlives the process that has it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection

from objects.backups import POSTGRESQL, SQLITE

_NUMBER = 0x74616862  # of the lock, among those of PostgreSQL's that others take
_ENDING = ".backup-lock"


class UnderWay(Exception):
    """Something that does not go with it has the lock; the text says what."""


@contextlib.contextmanager
def backing_up() -> Iterator[None]:
    """Within the block nothing deletes for good, and nobody makes another backup.

    Raises UnderWay where somebody does.
    """
    with contextlib.ExitStack() as locks:
        if not locks.enter_context(_lock(shared=False)):
            with _lock(shared=True) as is_free:
                what = "A purge or an erasure" if is_free else "Another backup"
            raise UnderWay(f"{what} is under way; run this again when it has ended.")
        yield


@contextlib.contextmanager
def deleting() -> Iterator[None]:
    """Within the block nobody makes a backup; others may delete for good.

    Raises UnderWay where one is being made.
    """
    with _lock(shared=True) as is_mine:
        if not is_mine:
            raise UnderWay(
                "A backup is under way, which needs what this deletes; run this again "
                "when it has ended."
            )
        yield


def _lock(*, shared: bool) -> contextlib.AbstractContextManager[bool]:
    """Yield whether the lock could be taken, alone or with others, for the block."""
    if connection.vendor == POSTGRESQL:
        return _lock_of_database(shared)
    database: Any = connection
    if connection.vendor == SQLITE and not database.is_in_memory_db():
        name = connection.settings_dict["NAME"]
        return _lock_of_file(f"{name}{_ENDING}", shared)
    return contextlib.nullcontext(True)  # No other process has the database.


@contextlib.contextmanager
def _lock_of_database(shared: bool) -> Iterator[bool]:
    """Hold it by a transaction of a connection of its own: a pooler keeps that."""
    function = f"pg_try_advisory_xact_lock{'_shared' if shared else ''}"
    other: Any = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            # It is idle for as long as the block takes.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute(f"SELECT {function}(%s)", [_NUMBER])
            (is_mine,) = cursor.fetchone()
            try:
                yield bool(is_mine)
            finally:
                # By the closing alone the server lets go of it a moment later.
                with contextlib.suppress(DatabaseError):
                    cursor.execute("ROLLBACK")
    finally:
        other.close()


@contextlib.contextmanager
def _lock_of_file(path: str, shared: bool) -> Iterator[bool]:
    import fcntl

    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
