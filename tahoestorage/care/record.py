"""The record of a check: what was looked at when, so that a killed one goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tahoestorage.care.verdicts import State, Verdict

VERIFIED, LEASED = 1, 2
"""What was done with an object, beyond looking at it; to be combined by ``|``."""
RESUMED_SECONDS = 7 * 86400.0
"""A check that was killed longer ago is begun anew."""
PATIENT_SECONDS = 14 * 86400.0
"""Leases end after 31 days; with older ones than this, a check gives way to nobody."""
PATIENT_FIRST_SECONDS = 7 * 86400.0
"""So with the first check that renews leases, for nobody knows how old they are."""
KEPT_SECONDS = 400 * 86400.0
_WAIT_SECONDS = 10.0
_DAMAGED = (TypeError, ValueError)
"""What a value raises that is not what is written there."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    id BLOB PRIMARY KEY, run INTEGER, at REAL, done INTEGER, state TEXT, why TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, path TEXT, wanted INTEGER, repair INTEGER,
    started REAL, ended REAL, summary TEXT
);
"""


class RecordBusy(Exception):
    """Another process checks below the same root now."""


@dataclass(frozen=True, slots=True)
class PastCheck:
    """A check that was begun; ``ended`` is None until all could be looked at.

    ``wanted`` is what was done with each object: VERIFIED, LEASED. Times are seconds
    since 1970. ``summary`` has the counts of the last try to come to the end, if there
    was one: where ``ended`` is None, some failed. ``oldest`` in it is since when all of
    this was done: with ``--since``, with some objects long before the check began.
    """

    path: str
    wanted: int
    started: float
    ended: float | None
    summary: dict[str, Any] | None

    @property
    def is_verifying(self) -> bool:
        """Whether each share was read."""
        return bool(self.wanted & VERIFIED)

    @property
    def oldest(self) -> float:
        """When the first of the objects was looked at, in seconds since 1970."""
        return float((self.summary or {}).get("oldest", self.started))


def default_record(fingerprint: str) -> Path:
    """Return where the record of a root is kept, by the root cap's fingerprint.

    In ``$XDG_STATE_HOME/tahoestorage``. Source: the XDG Base Directory Specification.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if os.path.isabs(state) else Path.home() / ".local/state"
    return home / "tahoestorage" / f"check-{fingerprint}.sqlite3"


def past_checks(path: Path) -> list[PastCheck]:
    """Return the checks in a record, the last one first; none where there is no record.

    Raises sqlite3.Error or ValueError where it can't be read.
    """
    if not path.exists():
        return []
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        rows = database.execute(
            "SELECT path, wanted, started, ended, summary FROM runs "
            "ORDER BY id DESC LIMIT 100"
        )
        return [
            PastCheck(path, wanted, started, ended, summary and json.loads(summary))
            for path, wanted, started, ended, summary in rows
        ]


class CheckRecord:
    """The record in one SQLite file, of mode 0600; safe in threads.

    It holds storage indexes, states and times, and no cap. To be closed. Raises
    RecordBusy where another process has it, OSError and sqlite3.Error where the file is
    of no use.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._run = 0
        # When the first of the objects was looked at that are not looked at again.
        self._oldest = time.time()
        self.error: str | None = None
        """Why nothing more is recorded, where the file failed on the way."""
        lock = path.with_name(f"{path.name}.lock")
        self._held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecordBusy from None
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(
                path,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                # A killed process loses nothing so, and no write waits for the disk.
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=NORMAL")
                self._database.executescript(_SCHEMA)
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            os.close(self._held)
            raise

    def close(self) -> None:
        """Close the file, and let others have it."""
        with self._lock:
            self._database.close()
        os.close(self._held)

    def begin(
        self, path: str, wanted: int, *, repair: bool, restart: bool = False
    ) -> float | None:
        """Begin a check, or go on with one of the same kind that did not end.

        Returns when that began; None where this one is new.
        """
        now = time.time()
        try:
            row = self._database.execute(
                "SELECT id, started, ended FROM runs "
                "WHERE path = ? AND wanted = ? AND repair = ? ORDER BY id DESC LIMIT 1",
                (path, wanted, repair),
            ).fetchone()
            if row is not None and row[2] is None and not restart:
                began = float(row[1])
                if 0 <= now - began < RESUMED_SECONDS:
                    self._run, self._oldest = row[0], began
                    return began
            self._run = (
                self._database.execute(
                    "INSERT INTO runs (path, wanted, repair, started) "
                    "VALUES (?, ?, ?, ?)",
                    (path, wanted, repair, now),
                ).lastrowid
                or 0
            )
        except (sqlite3.Error, *_DAMAGED) as error:
            self.error = str(error)
        return None

    def patient_until(self, path: str) -> float:
        """Return until when a check that renews leases may give way to others.

        In seconds since 1970, by the last one of the same path that came to the end, or
        else by the first one that was begun.
        """
        first = time.time()
        with self._lock:
            try:
                for started, ended, summary in self._database.execute(
                    "SELECT started, ended, summary FROM runs "
                    "WHERE path = ? AND wanted & ? ORDER BY id DESC",
                    (path, LEASED),
                ):
                    if ended is not None:
                        oldest = json.loads(summary or "{}").get("oldest", started)
                        return float(oldest) + PATIENT_SECONDS
                    first = min(first, float(started))
            except (sqlite3.Error, AttributeError, *_DAMAGED) as error:
                self.error = str(error)
        return first + PATIENT_FIRST_SECONDS

    def end(self, summary: dict[str, Any], *, is_complete: bool) -> None:
        """Note what was found; the next check goes on if this was not complete."""
        now = time.time()
        self._execute(
            "UPDATE runs SET ended = ?, summary = ? WHERE id = ?",
            (
                now if is_complete else None,
                json.dumps({**summary, "oldest": self._oldest}),
                self._run,
            ),
        )
        self._execute("DELETE FROM objects WHERE at < ?", (now - KEPT_SECONDS,))

    def put(self, index: bytes, verdict: Verdict, done: int) -> None:
        """Record what was found of an object; ``done`` is what was done with it."""
        state, why = verdict.state.value, verdict.why
        self._execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)",
            (index, self._run, time.time(), done, state, why),
        )

    def get(
        self, index: bytes, wanted: int, *, repair: bool, since: float | None
    ) -> Verdict | None:
        """Return what is known of an object; None where it is to be looked at.

        Known is what this check has found, and what was found whole after ``since``,
        in seconds since 1970. What is lost or failed is always looked at again, and
        with ``repair`` also what is hurt.
        """
        with self._lock:
            try:
                row = self._database.execute(
                    "SELECT run, at, done, state, why FROM objects WHERE id = ?",
                    (index,),
                ).fetchone()
                if row is None:
                    return None
                run, at, done, state, why = row
                verdict, at = Verdict(State(state), why), float(at)
                if done & wanted != wanted:
                    return None
            except (sqlite3.Error, *_DAMAGED) as error:
                self.error = str(error)
                return None
        is_whole = verdict.state in (State.WHOLE, State.REPAIRED)
        is_settled = is_whole or (verdict.state is State.HURT and not repair)
        if run != self._run or not is_settled:
            if not is_whole or since is None or not since <= at <= time.time():
                return None
            # It was repaired by another check.
            verdict = Verdict(State.WHOLE)
        self._oldest = min(self._oldest, at)
        return verdict

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        # The leases matter more than the record: without it, the check goes on.
        with self._lock:
            try:
                self._database.execute(statement, values)
            except sqlite3.Error as error:
                self.error = str(error)
