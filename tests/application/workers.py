"""Real workers of the application, of both kinds, in processes that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.application.site import (
    EXAMPLE,
    ROOT,
    Environment,
    bare_environment,
    make_tables,
)

PATIENCE = 90.0  # seconds; only an error takes so long
DATABASE, CELERY = "database", "celery"


def environment_of(folder: Path, **more: str) -> Environment:
    """Return the environment of a site with the kinds of the tests."""
    return bare_environment(folder) | {
        "DJANGO_SETTINGS_MODULE": "tests.application.jobkinds.settings",
        "PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(ROOT)]),
        **more,
    }


def wait_for(told: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return what it tells, once that is true."""
    deadline = time.monotonic() + patience
    while not (found := told()):
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.05)
    return found


class Crew:
    """Workers on one database, and a console beside them that starts jobs."""

    def __init__(self, runner: str, environment: Environment, folder: Path) -> None:
        self.runner, self.environment, self.folder = runner, environment, folder
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.log = folder / "workers.log"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._others: list[subprocess.Popen[bytes]] = []
        self._console: subprocess.Popen[str] | None = None
        self._hired = 0

    def __enter__(self) -> Crew:
        make_tables(self.environment)
        self._console = subprocess.Popen(
            [sys.executable, "-m", "tests.application.jobkinds.console"],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self.runner == CELERY:
            self._others.append(self._run("-m", "celery", "-A", "config", "beat"))
        return self

    def __exit__(self, *error: object) -> None:
        for process in (*self.workers, *self._others):
            end(process)
        if self._console is not None:
            self._console.communicate(timeout=PATIENCE)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        # Should the tests be killed, the kernel ends it.
        with_parent = ["setpriv", "--pdeathsig", "KILL"]
        if shutil.which("setpriv") is None:
            with_parent = []
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [*with_parent, sys.executable, *command],
                cwd=EXAMPLE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def hire(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker, which does one job at a time."""
        if self.runner == CELERY:
            self._hired += 1
            name = f"-n{self._hired}@tests"
            command = ["-m", "celery", "-A", "config", "worker", name, "-c1"]
            # What workers tell each other is not needed, and slows the start.
            command += ["--without-gossip", "--without-mingle"]
        else:
            command = ["manage.py", "jobs_worker", "--threads=1"]
        self.workers.append(self._run(*command, *options))
        return self.workers[-1]

    def ask(self, asked: str, said: Any = None) -> Any:
        """Have the console do something, and return what it tells."""
        console = self._console
        assert console is not None
        assert console.stdin is not None
        assert console.stdout is not None
        console.stdin.write(json.dumps([asked, said]) + "\n")
        console.stdin.flush()
        return json.loads(console.stdout.readline())

    def start(self, steps: int, **arguments: Any) -> str:
        return str(
            self.ask("start", {"folder": str(self.marks), "steps": steps} | arguments)
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        found = self.ask("rows")
        assert isinstance(found, dict)
        return found

    def state(self, job: str) -> str:
        return str(self.rows()[job]["state"])

    def lines(self, mark: str) -> list[list[str]]:
        with contextlib.suppress(FileNotFoundError):
            text = (self.marks / mark).read_text()
            return [line.split() for line in text.splitlines() if line.count(" ")]
        return []

    def begun(self, job: str) -> list[int]:
        """Return the processes that began a job, in their order."""
        return [int(pid) for pk, pid in self.lines("begun") if pk == job]

    def ends(self) -> Counter[str]:
        """Return how often each job has ended."""
        return Counter(pk for pk, _ in self.lines("ended"))

    def wait_for_all(self, jobs: list[str], patience: float = PATIENCE) -> None:
        wait_for(lambda: set(self.ends()) >= set(jobs), patience)

    def worker_of(self, pid: int) -> subprocess.Popen[bytes]:
        """Return the worker that a process is, or is of."""
        group = os.getpgid(pid)
        return next(one for one in self.workers if one.pid == group)

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker with all its processes, as by a power cut."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(PATIENCE)
        self.workers.remove(worker)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started; none of them has anything to tidy up."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


@contextlib.contextmanager
def crew(runner: str, folder: Path, **environment: str) -> Iterator[Crew]:
    """Run a console, and beat where there is a broker; yield what hires workers."""
    with Crew(runner, environment_of(folder, **environment), folder) as made:
        yield made
