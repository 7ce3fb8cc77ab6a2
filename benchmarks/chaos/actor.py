"""``python -m benchmarks.chaos.actor``: a process that writes, reads or looks.

It gets its task as a line of JSON by standard input, for there is a cap in it, and does
it until that is closed. Then it prints what it has found as JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
import secrets
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import django
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import override_settings

from benchmarks.chaos.record import History, Record, described
from tahoestorage.storage import TahoeStorage

# A literal, a small file and larger ones; a directory has so many saves of one writer.
SIZES, TOGETHER = (40, 3_000, 3_000, 100_000), 25
PAUSE = 0.05  # seconds after an error
# Of eight changes one replaces, one deletes and one moves a file; the rest are saves.
KINDS, REPLACE, DELETE, MOVE = 8, 3, 5, 7
RECENT = 10
PASSES, RESTED = 8, 8
BACK = 7200.0  # seconds
stop = threading.Event()


@dataclass
class Task:
    """What an actor is to do."""

    role: str
    options: dict[str, Any]
    record: str
    who: str
    sizes: tuple[int, ...] = SIZES
    threads: int = 1
    pause: float = 0.0
    """Seconds between two changes, or two reads."""
    path: str = ""
    """What is checked."""


class Traced(logging.Handler):
    """Adds each response of the gateway to the record."""

    def __init__(self, record: Record) -> None:
        super().__init__(logging.DEBUG)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("PUT "):
            self._record.add("uploaded")


def is_save(number: int) -> bool:
    """Whether a writer's change of that number is a save. All of its first ones are."""
    return number % KINDS not in (REPLACE, DELETE, MOVE)


class Writer:
    """Saves, replaces, moves and deletes files of its own, and records each of it.

    After an error it leaves a name alone, for either state is right then.
    """

    def __init__(self, storage: TahoeStorage, record: Record, task: Task) -> None:
        self._storage, self._record, self._task = storage, record, task
        self._chance = random.Random(task.who)
        self._mine: dict[str, str] = {}
        self._number = 0

    def change(self) -> None:
        """Make one change."""
        self._number += 1
        kind = (
            0 if is_save(self._number) or len(self._mine) < 5 else self._number % KINDS
        )
        old = self._chance.choice(list(self._mine)) if kind else ""
        directory = f"{self._task.who}/{self._number // TOGETHER}"
        new = f"{directory}/{self._number}.bin"
        if kind == REPLACE:
            content = self._content()
            self._make(old, _digest(content), lambda: self._replace(old, content))
        elif kind == DELETE:
            self._make(old, None, lambda: self._storage.delete(old))
        elif kind == MOVE:
            moved = self._mine[old]
            self._make(new, moved, lambda: self._storage.move(old, new), old)
        else:
            content = self._content()
            file = ContentFile(content)
            self._make(new, _digest(content), lambda: self._storage.save(new, file))

    def _content(self) -> bytes:
        sizes = self._task.sizes
        return self._chance.randbytes(sizes[self._number % len(sizes)])

    def _replace(self, name: str, content: bytes) -> None:
        with self._storage.open(name, "wb") as file:
            file.write(content)

    def _make(
        self,
        name: str,
        digest: str | None,
        make: Callable[[], str | None],
        source: str | None = None,
    ) -> None:
        self._mine.pop(source or name, None)
        line = {"number": self._number, "digest": digest, "source": source}
        self._record.add("begun", name=name, **line)
        try:
            name = make() or name
        except Exception as error:
            self._record.add("failed", number=self._number, **described(error))
            stop.wait(PAUSE)
            return
        self._record.add("done", name=name, **line)
        if digest is not None:
            self._mine[name] = digest
        stop.wait(self._task.pause)


def write(task: Task) -> None:
    """Change files until the end, in some threads."""
    record = Record(Path(task.record), task.who)
    logger = logging.getLogger("tahoestorage.gateway")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Traced(record))
    storage = TahoeStorage(**task.options)

    def work(number: int) -> None:
        who = f"{task.who}-{number}"
        mine = Task(**{**asdict(task), "who": who})
        writer = Writer(storage, Record(Path(task.record), who), mine)
        while not stop.is_set():
            writer.change()

    with ThreadPoolExecutor(task.threads) as pool:
        list(pool.map(work, range(task.threads)))


def die(task: Task) -> None:
    """Have so many children write, one after another, and kill each in a change."""
    record, history = Record(Path(task.record), task.who), History(Path(task.record))
    chance = random.Random(task.who)
    for number in range(task.threads):
        who = f"{task.who}-{number}"
        child = os.fork()
        if child == 0:
            _write_until_killed(Task(**{**asdict(task), "who": who}))
        # Of its first ones, some change: then anywhere in what it takes.
        while history.seen["begun", who] <= number % 3:
            time.sleep(0.001)
            history.read()
        seconds = [line["at"] - line["begun"] for line in history.done[-9:]]
        time.sleep(chance.uniform(0.0, statistics.median(seconds or [0.1])))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        record.add("killed")


def _write_until_killed(task: Task) -> NoReturn:
    writer = Writer(
        TahoeStorage(**task.options), Record(Path(task.record), task.who), task
    )
    while True:
        writer.change()


def read(task: Task) -> dict[str, Any]:
    """Ask for names whose state is certain until the end; return what was wrong."""
    record = Record(Path(task.record), task.who)
    history, storage = History(Path(task.record)), TahoeStorage(**task.options)
    chance, judged, wrong = random.Random(task.who), 0, []
    errors: Counter[str] = Counter()
    unclear: Counter[str] = Counter()
    while not stop.wait(task.pause):
        history.read()
        if not history.done:
            stop.wait(PAUSE)
            continue
        recent = -RECENT if chance.random() < 0.5 else 0
        name = chance.choice(history.done[recent:])["name"]
        may, touched = history.may[name], history.touched[name]
        if len(may) > 1:
            continue
        record.add("asking", name=name)
        try:
            found = known(storage, name)
        except Exception as error:
            said = described(error)
            errors[said["error"]] += 1
            unclear[said["error"]] += not said["clear"]
            stop.wait(PAUSE)
            continue
        history.read()
        if history.touched[name] == touched:
            judged += 1
            (right,) = may
            if found != (right is not None, right):
                wrong.append(name)
    return {"judged": judged, "wrong": wrong, "errors": errors, "unclear": unclear}


def check(task: Task) -> dict[str, Any]:
    """Check and repair so many times, and return the exit statuses, with their counts.

    Each time what is in the directory below the path where the last change was made. 0
    is well, 1 repaired, 2 hurt and 3 lost. It rests for `RESTED` changes by others
    before each `PASSES`, and returns from when to when: these were made alone.
    """
    rests: list[tuple[float, float]] = []
    history = History(Path(task.record))
    statuses: Counter[int] = Counter()
    said = io.StringIO()
    backend = "tahoestorage.storage.TahoeStorage"
    stores = {"default": {"BACKEND": backend, "OPTIONS": task.options}}
    with override_settings(STORAGES=stores):
        for number in range(task.threads):
            state = f"{task.record}.{task.who}"
            history.read()
            if number % PASSES == 0:
                began, until = time.monotonic(), len(history.done) + RESTED
                while len(history.done) < until and not stop.wait(PAUSE):
                    history.read()
                rests.append((began, time.monotonic()))
            names = (line["name"] for line in reversed(history.done))
            changed = next(name for name in names if name.startswith(f"{task.path}/"))
            try:
                call_command(
                    *("tahoe_check", os.path.dirname(changed), "--state", state),
                    *("--repair", "--restart", "--verbosity", "0"),
                    stdout=said,
                    stderr=said,
                )
                statuses[0] += 1
            except CommandError as error:
                statuses[error.returncode] += 1
    return {"statuses": statuses, "rests": rests}


def look(task: Task) -> dict[str, Any]:
    """Return the digests of everything that is there, by name, with a fresh look."""
    storage = TahoeStorage(**task.options)

    def walk(path: str) -> list[str]:
        directories, files = storage.listdir(path)
        names = [f"{path}/{name}".lstrip("/") for name in files]
        for each in directories:
            names += walk(f"{path}/{each}".lstrip("/"))
        return names

    names = walk("")
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: _read_or_error(storage, name), names)
        return {"found": dict(zip(names, found, strict=True))}


def ask(task: Task) -> dict[str, Any]:
    """Return what is said of each name in the record, by whoever has an old cache."""
    history, storage = History(Path(task.record)), TahoeStorage(**task.options)
    history.read()
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: known(storage, name), history.may)
        return {"known": dict(zip(history.may, found, strict=True))}


def known(storage: TahoeStorage, name: str) -> tuple[bool, str | None]:
    """Return whether a file exists, and the digest of what opening it gives."""
    try:
        digest = _read(storage, name)
    except FileNotFoundError:
        digest = None
    return storage.exists(name), digest


def _read(storage: TahoeStorage, name: str) -> str:
    with storage.open(name) as file:
        return _digest(file.read())


def _read_or_error(storage: TahoeStorage, name: str) -> str:
    try:
        return _read(storage, name)
    except Exception as error:
        return f"{type(error).__name__}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


ROLES: dict[str, Callable[[Task], dict[str, Any] | None]] = {
    "die": die,
    "write": write,
    "read": read,
    "look": look,
    "ask": ask,
    "check": check,
}


def _set_clock_by_signals() -> None:
    """SIGUSR1 sets this process's clock back by two hours, SIGUSR2 right again.

    Not that of the whole machine, nor by libfaketime, under which Python can't sleep.
    """
    right = time.time

    def set_back(number: int, frame: object) -> None:
        is_right = number == signal.SIGUSR2
        vars(time)["time"] = right if is_right else lambda: right() - BACK

    signal.signal(signal.SIGUSR1, set_back)
    signal.signal(signal.SIGUSR2, set_back)


def _wait_for_end() -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    given = Task(**json.loads(sys.stdin.readline()))
    settings.configure(
        USE_TZ=True,
        SECRET_KEY=secrets.token_hex(),
        INSTALLED_APPS=["tahoestorage"],
    )
    django.setup()
    _set_clock_by_signals()
    threading.Thread(target=_wait_for_end, daemon=True).start()
    print(json.dumps(ROLES[given.role](given)))
