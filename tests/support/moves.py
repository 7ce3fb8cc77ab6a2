"""Moves between stores, for tests: the stores, the command, and what it has done."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import (
    FileSystemStorage,
    Storage,
)

from tahoestorage.moving.resolve import store_of
from tahoestorage.moving.run import Plan, Run
from tahoestorage.progress import Progress
from tests.support import commands

KINDS = ["disk", "memory", "grid"]
COUNTS = ["copied", "skipped", "kept", "gone", "failed", "deleted", "refused"]
PATIENCE = 120  # seconds; only an error takes so long
FILES = {
    "top.txt": b"at the top",
    "empty": b"",
    "photos/a.jpg": b"j" * 100,
    "photos/b.jpg": os.urandom(70_000),
    "photos/2026/c.jpg": os.urandom(3_000),
    "photos/2026/d.jpg": b"d",
}


class Copied(commands.Made):
    """What one run has done, counted."""

    @property
    def counts(self) -> dict[str, int]:
        """All counts that are not 0."""
        return {name: self.json[name] for name in COUNTS if self.json[name]}


Add = Callable[..., Storage]


def copy(*arguments: str) -> Copied:
    """Run the command in this process."""
    return Copied(*commands.run("storage_copy", *arguments))


def fill(storage: Storage, files: dict[str, bytes] = FILES) -> None:
    for name, content in files.items():
        assert storage.save(name, ContentFile(content)) == name


def contents(storage: Storage, prefix: str = "") -> dict[str, bytes]:
    """All files of a storage, by Django's API alone."""
    directories, files = storage.listdir(prefix)
    base = f"{prefix}/" if prefix else ""
    found = {}
    for name in files:
        with storage.open(base + name) as file:
            found[base + name] = file.read()
    for directory in directories:
        found |= contents(storage, base + directory)
    return found


def overwrite(storage: Storage, name: str, content: bytes) -> None:
    """Change a file where it is, as time goes by."""
    time.sleep(0.02)
    with storage.open(name, "wb") as file:
        file.write(content)


def unfinished(storage: Storage) -> list[Path]:
    assert isinstance(storage, FileSystemStorage)
    return [*Path(storage.location).rglob("*.storage_copy")]


def write_to_disk(storage: Storage, files: dict[str, bytes]) -> None:
    """Put files there whose names Django would not give."""
    for name, content in files.items():
        path = Path(storage.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def moved(source: Storage, target: Storage, **plan: Any) -> Run:
    """Carry out a plan, and return how it went."""
    said: list[str] = []
    move = Run(Plan(store_of(source), store_of(target), **plan), Progress(said.append))
    move.carry_out()
    return move


STUCK = """
import threading
from django.core.files.storage import FileSystemStorage


class Stuck(FileSystemStorage):
    def _open(self, name, mode="rb"):
        print("stuck", flush=True)
        threading.Event().wait()


class Some(FileSystemStorage):
    # Twelve files of it can be read, and all others keep their readers waiting.
    left = threading.Semaphore(12)

    def _open(self, name, mode="rb"):
        self.left.acquire()
        return super()._open(name, mode)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"}


def django(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not (site / "site_settings.py").exists():
        (site / "site_settings.py").write_text("INSTALLED_APPS = ['tahoestorage']\n")
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=site,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def running(site: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process of its own, which does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "storage_copy", *arguments],
        cwd=site,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
