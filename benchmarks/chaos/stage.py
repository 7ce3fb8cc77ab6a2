"""Where a bad day happens: a root on a grid, and processes that write and read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.chaos.actor import Task
from benchmarks.chaos.outcome import DayOutcome
from benchmarks.chaos.record import History
from tahoestorage.testing.grid import LocalGrid

PATIENCE = 180.0  # seconds; what takes longer does not come back by itself


class Actor:
    """A process of ``benchmarks.chaos.actor``."""

    def __init__(
        self, task: Task, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.task, self._log = task, log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.actor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(asdict(task)) + "\n")
            self.process.stdin.flush()

    def end(self) -> Any:
        """Let it end, and return what it has found. Raises RuntimeError if it died."""
        said, _ = self.process.communicate(timeout=PATIENCE)
        self.check()
        return json.loads(said)

    def check(self) -> None:
        """Raise RuntimeError if it has died."""
        status = self.process.poll()
        if status:
            tail = self._log.read_text(errors="replace")[-2000:]
            role = self.task.role
            raise RuntimeError(f"The process of {role} died, status {status}:\n{tail}")

    def kill(self) -> None:
        """Kill it, as by a power cut."""
        self.process.kill()
        self.process.communicate()


class Stage:
    """A new root on a grid, with what was done there and what came of it."""

    def __init__(self, grid: LocalGrid, folder: Path) -> None:
        self.grid, self.folder = grid, folder
        self.cache = folder / "cache"
        self.outcome = DayOutcome()
        self.record = folder / "record"
        self.record.touch()
        self.history = History(self.record)
        self._root = grid.create_root().uri
        self._actors: list[Actor] = []
        self._started = 0
        self._is_finished = False
        # The introducer, the servers, the gateway.
        _, *self.servers, self.gateway = grid.pids

    def options(self, **cache: Any) -> dict[str, Any]:
        """Return the options of a storage, with the cache of this host or that one."""
        return {
            "base_url": self.grid.base_url,
            "base_cap": self._root,
            "cache": cache or {"directory": str(self.cache)},
        }

    def start(
        self,
        role: str,
        options: dict[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Actor:
        """Start a process that does a role until it is ended."""
        self._started += 1
        who = f"{role}{self._started}"
        task = Task(role, options or self.options(), str(self.record), who, **more)
        actor = Actor(task, self.folder / "actors.log", environment)
        self._actors.append(actor)
        return actor

    def kill(self, actor: Actor) -> None:
        """Kill a process that was started here."""
        actor.kill()
        self._actors.remove(actor)

    def end(self, actor: Actor) -> Any:
        """Let a process that was started here end, and return what it has found."""
        self._actors.remove(actor)
        told = actor.end()
        if actor.task.role == "read":
            self._count(told)
        return told

    def end_all(self) -> None:
        """Let all processes end, all at once: one may wait for a time-out."""
        for actor in self._actors:
            if actor.process.stdin is not None:
                actor.process.stdin.close()
                actor.process.stdin = None
        for actor in list(self._actors):
            self.end(actor)

    def wait_for_end(self, actor: Actor) -> Any:
        """Wait until a process ends by itself, and return what it has found."""
        self.wait(lambda: actor.process.poll() is not None, 4 * PATIENCE)
        return self.end(actor)

    def changes(self, count: int) -> None:
        """Wait until so many more changes were acknowledged."""
        self.history.read()
        until = len(self.history.done) + count
        self.wait(lambda: len(self.history.done) >= until)

    def next(self, what: str, who: str) -> None:
        """Wait for another line of the record that says so."""
        self.history.read()
        before = self.history.seen[what, who]
        self.wait(lambda: self.history.seen[what, who] > before)

    def wait(self, told: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Read the record until it tells. Raises TimeoutError after so many seconds."""
        until = time.monotonic() + patience
        while True:
            self.history.read()
            if told():
                return
            for actor in self._actors:
                actor.check()
            if time.monotonic() > until:
                raise TimeoutError(f"nothing came back within {patience:.0f} s")
            time.sleep(0.001)

    def back(self, since: float) -> None:
        """Wait for a change that was begun since then, and note how long that took."""

        def found() -> list[float]:
            lines = self.history.done[-20:]
            return [line["at"] for line in lines if line["begun"] >= since]

        self.wait(lambda: bool(found()))
        self.outcome.back = max(self.outcome.back or 0.0, found()[0] - since)

    def finish(self) -> DayOutcome:
        """End all processes, compare the store with the record, and return it all.

        A day may do so itself, while the disk of its cache is there.
        """
        outcome = self.outcome
        if self._is_finished:
            return outcome
        self._is_finished = True
        options = {each.task.options["cache"].get("redis") for each in self._actors}
        self.end_all()
        self.history.read()
        outcome.acknowledged += len(self.history.done)
        outcome.count_errors(self.history.errors, self.history.unclear)
        fresh = self.options(directory=str(self.folder / "fresh"))
        found = self.start("look", fresh).end()["found"]
        lost, strange = self.history.compare(found)
        outcome.lost += len(lost)
        outcome.strange += len(strange)
        for url in options:
            old = self.options(redis=url) if url else self.options()
            known = self.start("ask", old).end()["known"]
            outcome.reads += len(known)
            outcome.wrong += sum(
                said != [name in found, found.get(name)] for name, said in known.items()
            )
        self._actors.clear()
        return outcome

    def leave(self) -> None:
        """Have nothing compared: the day has done so, and set the outcome, itself."""
        self._is_finished = True

    def _count(self, told: Any) -> None:
        """Add what a reader has found."""
        self.outcome.reads += told["judged"]
        self.outcome.wrong += len(told["wrong"])
        self.outcome.count_errors(told["errors"], told["unclear"])

    def clear(self) -> None:
        """End what still runs, after an error."""
        for actor in self._actors:
            actor.kill()


@contextlib.contextmanager
def stage_on(grid: LocalGrid, folder: Path) -> Iterator[Stage]:
    """Prepare a stage in an empty folder; no process of it outlives the block."""
    stage = Stage(grid, folder)
    try:
        yield stage
    finally:
        stage.clear()


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Have processes hang within the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
