"""The record of a check: what was looked at when, so that a killed one goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tahoestorage.care.verdicts import State, Verdict

VERIFIED, LEASED = 1, 2
"""What was done with an object, beyond looking at it; to be combined by ``|``."""
RESUMED_SECONDS = 7 * 86400.0
"""A check whose last object was looked at longer ago is begun anew."""
PATIENT_SECONDS = 14 * 86400.0
"""Leases end after 31 days; with older ones than this, a check gives way to nobody."""
PATIENT_FIRST_SECONDS = 7 * 86400.0
"""So with the first check that renews leases, for nobody knows how old they are."""
KEPT_SECONDS = 400 * 86400.0
_WAIT_SECONDS = 10.0
_DAMAGED = (TypeError, ValueError)
"""What a value raises that is not what is written there."""
# What was found of an object, by what was done with it: a check that only renews leases
# does not undo what one has verified.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS found (
    id BLOB, done INTEGER, run INTEGER, at REAL, state TEXT, why TEXT,
    PRIMARY KEY (id, done)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, path TEXT, wanted INTEGER, repair INTEGER,
    started REAL, ended REAL, summary TEXT
);
CREATE TABLE IF NOT EXISTS missing_servers (
    run INTEGER, name TEXT, PRIMARY KEY (run, name)
) WITHOUT ROWID;
"""
# Versions before 0.3 had one row for an object, and renewed leases without a note of
# which servers were away.
_FROM_BEFORE = (
    "INSERT INTO found SELECT id, done & ~2, run, at, state, why FROM objects "
    "WHERE true ON CONFLICT (id, done) DO UPDATE SET "
    "run = excluded.run, at = excluded.at, state = excluded.state, why = excluded.why "
    "WHERE excluded.at > found.at",
    "DROP TABLE objects",
)
_PAST_CHECKS = """
SELECT path, wanted, started, ended, summary FROM runs
WHERE id IN (
    SELECT max(id) FROM runs GROUP BY path, wanted, repair, summary IS NULL
) OR (path = '' AND wanted & 2 AND ended IS NOT NULL)
ORDER BY id DESC
"""
_FORGET_RUNS = """
DELETE FROM runs WHERE started < ? AND id NOT IN (
    SELECT max(id) FROM runs GROUP BY path, wanted, repair, summary IS NULL
)
"""
_FORGET_MISSING = "DELETE FROM missing_servers WHERE run NOT IN (SELECT id FROM runs)"


class RecordBusy(Exception):
    """Another process does the same below the same root now."""


@dataclass(frozen=True, slots=True)
class PastCheck:
    """A check that was ``started``; ``ended`` is None until all could be looked at.

    ``path`` is what was checked with all below it, "" for everything. ``wanted`` is
    what was done with each object: VERIFIED, LEASED. Times are seconds since 1970.
    ``summary`` has the counts of the last try to come to the end, if there
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
    def has_renewed_all(self) -> bool:
        """Whether the leases of all that was looked at were renewed, on all servers.

        What is below a lost directory has old ones, and so have servers that were away:
        versions before 0.3 did not note these.
        """
        summary = self.summary or {}
        bad = (State.LOST, State.FAILED, State.HURT)
        servers = summary.get("servers") or {}
        is_known = servers.get("start") is None or (
            servers.get("end") is not None and "missing" in summary
        )
        return bool(
            self.wanted & LEASED
            and self.ended is not None
            and is_known
            and not summary.get("missing")
            and not any(summary.get(state.value) for state in bad)
        )

    @property
    def oldest(self) -> float:
        """When the first of the objects was looked at, in seconds since 1970."""
        return float((self.summary or {}).get("oldest", self.started))


def default_record(fingerprint: str) -> Path:
    """Return where the record of a root is kept, by the root cap's fingerprint.

    In ``$XDG_STATE_HOME/tahoestorage``. Source: the XDG Base Directory Specification.
    Raises OSError where there is no home directory.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        home = Path(state) if os.path.isabs(state) else Path.home() / ".local/state"
    except RuntimeError:
        raise OSError(
            "there is no home directory; set XDG_STATE_HOME or give --state"
        ) from None
    return home / "tahoestorage" / f"check-{fingerprint}.sqlite3"


def past_checks(path: Path) -> list[PastCheck]:
    """Return checks in a record, the last one first; none where there is no record.

    The last one of each path, by what was done, and all that have renewed leases of
    everything. Raises sqlite3.Error or ValueError where it can't be read.
    """
    if not path.exists():
        return []
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        rows = database.execute(_PAST_CHECKS)
        return [
            PastCheck(path, wanted, started, ended, summary and json.loads(summary))
            for path, wanted, started, ended, summary in rows
        ]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of an object; ``away``: while not all servers were there."""

    run: int
    at: float
    done: int
    verdict: Verdict
    away: bool

    @property
    def is_whole(self) -> bool:
        """Whether it was whole, or was repaired."""
        return self.verdict.state in (State.WHOLE, State.REPAIRED)


@dataclass(frozen=True, slots=True)
class _Due:
    """What a check looks at again, and what not."""

    run: int
    wanted: int
    repair: bool
    since: float | None

    def is_spared(self, each: _Found) -> bool:
        """Whether an object need not be looked at, by what was found of it."""
        renews, now = bool(self.wanted & LEASED), time.time()
        if each.run == self.run:
            is_hurt = each.verdict.state is State.HURT and not self.repair
            is_old = renews and now - each.at > PATIENT_SECONDS
            return (each.is_whole or is_hurt) and not is_old
        is_young = self.since is not None and self.since <= each.at <= now
        return each.is_whole and is_young and not (renews and each.away)


class CheckRecord:
    """The record in one SQLite file, of mode 0600; safe in threads.

    It holds storage indexes, states and times, and no cap. To be closed. While one
    check renews leases, another may do something else: ``leases`` says which of the two
    this is. Raises RecordBusy where another process has it for the same, OSError and
    sqlite3.Error where the file is of no use.
    """

    def __init__(self, path: Path, *, leases: bool = False) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._run, self._leases = 0, leases
        # When the first of the objects was looked at that are not looked at again.
        self._began = self._oldest = time.time()
        self.error: str | None = None
        """Why nothing more is recorded, where the file failed on the way."""
        kind = ".leases" if leases else ""
        lock = path.with_name(f"{path.name}{kind}.lock")
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
                self._take_over()
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
                began, last = float(row[1]), self._last(row[0])
                if 0 <= now - max(began, last or began) < RESUMED_SECONDS:
                    self._run, self._began = row[0], began
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

    def _take_over(self) -> None:
        """Take over what a version before has recorded."""
        there = "SELECT 1 FROM sqlite_master WHERE name = 'objects'"
        with self._database as database:
            # Another process may do it, too.
            database.execute("BEGIN IMMEDIATE")
            if database.execute(there).fetchone() is not None:
                for statement in _FROM_BEFORE:
                    database.execute(statement)

    def _last(self, run: int) -> float | None:
        """Return when a check has last looked at an object."""
        query = "SELECT max(at) FROM found WHERE run = ?"
        (at,) = self._database.execute(query, (run,)).fetchone()
        return at and float(at)

    def patient_until(self, path: str) -> float:
        """Return until when a check may give way to others, in seconds since 1970.

        Where it renews leases, by the last one of the same path that renewed all, or
        else by the first one that was begun; another one by when it began itself.
        """
        if not self._leases:
            return self._began + PATIENT_SECONDS
        first = now = time.time()
        with self._lock:
            try:
                for wanted, started, ended, summary in self._database.execute(
                    "SELECT wanted, started, ended, summary FROM runs "
                    "WHERE path = ? AND wanted & ? ORDER BY id DESC",
                    (path, LEASED),
                ):
                    known = summary and json.loads(summary)
                    check = PastCheck(path, wanted, started, ended, known)
                    # The clock may have been ahead then.
                    if check.has_renewed_all and check.oldest <= now:
                        return check.oldest + PATIENT_SECONDS
                    first = min(first, float(started))
            except (sqlite3.Error, AttributeError, *_DAMAGED) as error:
                self.error = str(error)
        return first + PATIENT_FIRST_SECONDS

    def note_missing(self, names: Iterable[str]) -> None:
        """Note servers that are not there now: no lease is renewed on them."""
        for name in names:
            self._execute(
                "INSERT OR IGNORE INTO missing_servers VALUES (?, ?)", (self._run, name)
            )

    def end(self, summary: dict[str, Any], *, is_complete: bool) -> None:
        """Note what was found; the next check goes on if this was not complete."""
        now = time.time()
        known = {"missing": self._missing(), "oldest": self._oldest}
        self._execute(
            "UPDATE runs SET ended = ?, summary = ? WHERE id = ?",
            (
                now if is_complete else None,
                json.dumps({**summary, **known}),
                self._run,
            ),
        )
        old = now - KEPT_SECONDS
        self._execute("DELETE FROM found WHERE at < ?", (old,))
        self._execute(_FORGET_RUNS, (old,))
        self._execute(_FORGET_MISSING, ())

    def _missing(self) -> list[str]:
        query = "SELECT name FROM missing_servers WHERE run = ? ORDER BY name"
        with self._lock:
            try:
                return [name for (name,) in self._database.execute(query, (self._run,))]
            except sqlite3.Error as error:
                self.error = str(error)
        return []

    def put(self, index: bytes, verdict: Verdict, done: int) -> None:
        """Record what was found of an object; ``done`` is what was done with it."""
        state, why = verdict.state.value, verdict.why
        self._execute(
            "INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, ?, ?)",
            (index, done, self._run, time.time(), state, why),
        )

    def get(
        self, index: bytes, wanted: int, *, repair: bool, since: float | None
    ) -> Verdict | None:
        """Return what is known of an object; None where it is to be looked at.

        Known is what this check has found, and what was found whole after ``since``,
        in seconds since 1970, with leases while all servers were there. What was lost
        or failed when it was last looked at is looked at again, whatever was done with
        it then, and with ``repair`` also what was hurt.
        """
        with self._lock:
            try:
                rows = self._database.execute(
                    "SELECT run, at, done, state, why, EXISTS (SELECT 1 FROM "
                    "missing_servers WHERE run = found.run) FROM found WHERE id = ? "
                    "ORDER BY at DESC",
                    (index,),
                ).fetchall()
                found = [
                    _Found(run, float(at), done, Verdict(State(state), why), bool(away))
                    for run, at, done, state, why, away in rows
                ]
                known = (each for each in found if each.done & wanted == wanted)
                due = _Due(self._run, wanted, repair, since)
                best = next((each for each in known if due.is_spared(each)), None)
            except (sqlite3.Error, *_DAMAGED) as error:
                self.error = str(error)
                return None
        if best is None or not (found[0] is best or found[0].is_whole):
            return None
        self._oldest = min(self._oldest, best.at)
        # What is reused of another check may have been repaired by that.
        return best.verdict if best.run == self._run else Verdict(State.WHOLE)

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        # The leases matter more than the record: without it, the check goes on.
        with self._lock:
            try:
                self._database.execute(statement, values)
            except sqlite3.Error as error:
                self.error = str(error)
