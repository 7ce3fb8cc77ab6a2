"""Two transactions of PostgreSQL at once, one of them held at each of its locks.

The first is held after a statement that locks; the second goes on until it waits for
the first, or ends; then the first goes on. A deadlock of the two at that place is
certain so, not likely.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

PATIENCE = 60.0  # seconds; only an error takes so long
POLL = 0.005
LOCKS = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) \"(\w+)\"|SAVEPOINT x")
LOCKED_ROW = re.compile(r"FROM \"(\w+)\".* FOR (?:NO KEY )?UPDATE", re.DOTALL)
IS_BLOCKED = "SELECT %s = ANY(pg_blocking_pids(%s))"


def table_of(sql: str) -> str | None:
    """Return the table in which the statement locks rows, None where it locks none."""
    if found := LOCKS.match(sql):
        return found[2]
    found = LOCKED_ROW.search(sql)
    return found[1] if found else None


@dataclass
class Runner:
    """An act in a thread with a connection of its own."""

    act: Callable[[], object]
    hold_at: int | None = None
    """It is held after so many statements that lock in a transaction."""
    tables: list[str] = field(default_factory=list)
    """Of those statements."""
    error: BaseException | None = None
    pid: int = 0

    def __post_init__(self) -> None:
        self.began, self.held, self.go_on, self.ended = (
            threading.Event() for _ in range(4)
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.thread.start()
        assert self.began.wait(PATIENCE)

    def _run(self) -> None:
        try:
            connection.ensure_connection()
            self.pid = connection.connection.info.backend_pid
            self.began.set()
            with connection.execute_wrapper(self._count):
                self.act()
        except BaseException as error:
            self.error = error
        finally:
            self.began.set()
            connection.close()
            self.ended.set()
            self.held.set()

    def _count(self, execute: Any, sql: str, params: Any, many: Any, of: Any) -> Any:
        result = execute(sql, params, many, of)
        table = table_of(sql) if of["connection"].in_atomic_block else None
        if table is not None:
            self.tables.append(table)
            if len(self.tables) == self.hold_at:
                self.held.set()
                assert self.go_on.wait(PATIENCE)
        return result

    def until_blocked_by(self, other: Runner) -> None:
        """Return once it waits for a lock of the other's, or has ended."""
        while not self.ended.wait(POLL):
            with connection.cursor() as cursor:
                cursor.execute(IS_BLOCKED, [other.pid, self.pid])
                if cursor.fetchone() == (True,):
                    return


def alone(act: Callable[[], object]) -> Runner:
    """Do it with nobody beside, and return what it locked."""
    runner = Runner(act)
    runner.start()
    assert runner.ended.wait(PATIENCE)
    return runner


def beside(
    first: Callable[[], object], second: Callable[[], object], hold_at: int
) -> tuple[Runner, Runner]:
    """Do both: the second while the first is held there; return how they ended."""
    one, other = Runner(first, hold_at), Runner(second)
    one.start()
    assert one.held.wait(PATIENCE)
    other.start()
    other.until_blocked_by(one)
    one.go_on.set()
    for runner in (one, other):
        assert runner.ended.wait(PATIENCE), "both wait, and not for each other"
    return one, other
