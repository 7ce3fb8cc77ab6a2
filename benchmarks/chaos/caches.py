"""Days on which something happens to the files of the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage, frozen
from tahoestorage.cache.tiers import UNSHARED_SECONDS

TIMES, AWAY = 3, 5.0
# Has both of what others would lock, and goes on for as long as its input is open.
LOCKS = """
import fcntl, os, sqlite3, sys
directory = sys.argv[1]
database = sqlite3.connect(f"{directory}/cache.db", isolation_level=None)
database.execute("BEGIN IMMEDIATE")
counters = os.open(f"{directory}/generations", os.O_RDWR)
fcntl.flock(counters, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def begin(stage: Stage, pause: float = 0.0, **cache: Any) -> None:
    """Let two write and one read with one cache, until they are well under way."""
    options = stage.options(directory=str(stage.cache), **cache)
    for _ in range(2):
        stage.start("write", options)
    stage.start("read", options, pause=pause)
    stage.changes(20)


def while_in_use(break_it: Callable[[Path], None]) -> Callable[[Stage], None]:
    """Return a day on which the cache is broken some times while it is used."""

    def act(stage: Stage) -> None:
        begin(stage)
        for _ in range(TIMES):
            break_it(stage.cache)
            stage.back(time.monotonic())
            stage.changes(10)

    return act


def delete(cache: Path) -> None:
    """Delete the whole of it."""
    shutil.rmtree(cache, ignore_errors=True)


def cut(cache: Path) -> None:
    """Leave the first half of each file.

    But for the one that SQLite maps into memory: if that one is cut, the kernel ends
    every process that uses it (SIGBUS).
    """
    for file in cache.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and not file.name.endswith("-shm"):
                os.truncate(file, file.stat().st_size // 2)


@contextlib.contextmanager
def on_small_disk(where: Path, options: str) -> Iterator[None]:
    """Have a file system in memory at an empty folder, for root in his namespace."""
    where.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(where)], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def read_only(stage: Stage) -> None:
    """Have the disk of the cache read-only for a while.

    Who can't use the directory believes what it has read for 2 seconds, so each reads
    less often. And what is changed then nobody can be told after all who knew have
    ended: it is known once the lifetime is over.
    """
    with on_small_disk(stage.cache, "size=64m"):
        begin(stage, lifetime=AWAY)
        for mode in ("ro", "rw"):
            # A disk on which somebody writes can't be made read-only.
            stage.end_all()
            options = f"remount,{mode},size=64m"
            subprocess.run(["mount", "-o", options, str(stage.cache)], check=True)
            if mode == "rw":
                time.sleep(AWAY)
            at = time.monotonic()
            begin(stage, 1.1 * UNSHARED_SECONDS, lifetime=AWAY)
            stage.back(at)
            stage.changes(20)
        stage.finish()


def full(stage: Stage) -> None:
    """Have others fill the disk of the cache, and make room again."""
    with on_small_disk(stage.cache, "size=4m"):
        begin(stage)
        other = stage.cache / "other"
        with contextlib.suppress(OSError), other.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        stage.back(time.monotonic())
        stage.changes(20)
        other.unlink()
        stage.back(time.monotonic())
        stage.changes(10)
        stage.finish()


def locked(stage: Stage) -> None:
    """Have somebody lock its files and freeze; kill him after a while."""
    begin(stage)
    for _ in range(TIMES):
        with subprocess.Popen(
            [sys.executable, "-c", LOCKS, str(stage.cache)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            try:
                if process.stdout is not None:
                    process.stdout.readline()
                with frozen(process.pid):
                    stage.back(time.monotonic())
                    stage.changes(10)
                    time.sleep(AWAY)
            finally:
                process.send_signal(signal.SIGKILL)
        stage.back(time.monotonic())


DAYS = (
    Day("cache-deleted", "The cache is deleted", while_in_use(delete)),
    Day("cache-cut", "The files of the cache are cut in half", while_in_use(cut)),
    Day("cache-read-only", "The disk of the cache is read-only", read_only, True),
    Day("cache-full", "The disk of the cache is full", full, True),
    Day("cache-locked", "A frozen process locks the cache", locked),
)
