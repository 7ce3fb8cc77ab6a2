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

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import (
    FileSystemStorage,
    Storage,
    storages,
)
from pytest_django.fixtures import Settings

from tahoestorage.moving import copying
from tahoestorage.moving.move import Move, Plan
from tahoestorage.moving.progress import Progress
from tahoestorage.moving.resolve import store_of
from tahoestorage.testing.grid import LocalGrid
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


class Made(commands.Made):
    """What one run has done, counted."""

    @property
    def counts(self) -> dict[str, int]:
        """All counts that are not 0."""
        return {name: self.json[name] for name in COUNTS if self.json[name]}


Add = Callable[..., Storage]


@pytest.fixture
def add(settings: Settings, tmp_path: Path, tahoe_grid: LocalGrid) -> Add:
    """Add a storage of a kind to STORAGES, by an alias."""

    def add(alias: str, kind: str, **options: Any) -> Storage:
        if kind == "disk":
            backend = "django.core.files.storage.FileSystemStorage"
            options.setdefault("location", str(tmp_path / alias))
            Path(options["location"]).mkdir(exist_ok=True)
        elif kind == "memory":
            backend = "django.core.files.storage.InMemoryStorage"
        else:
            backend = "tahoestorage.storage.TahoeStorage"
            made: dict[str, Any] = {
                "base_url": tahoe_grid.base_url,
                "cache": {"directory": str(tmp_path / "cache")},
            }
            if "base_cap_file" not in options:
                made["base_cap"] = tahoe_grid.create_root().uri
            options = {**made, **options}
        before = {a: storages[a] for a in settings.STORAGES if a in _given}
        _given.add(alias)
        settings.STORAGES = {
            **settings.STORAGES,
            alias: {"BACKEND": backend, "OPTIONS": options},
        }
        # What was made already, such as a memory with files, stays.
        storages._storages.update(before)  # type: ignore[attr-defined]
        return storages[alias]

    _given: set[str] = set()
    return add


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "SETTLED_SECONDS", 0.0)


def copy(*arguments: str) -> Made:
    """Run the command in this process."""
    return Made(*commands.run("storage_copy", *arguments))


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


def moved(source: Storage, target: Storage, **plan: Any) -> Move:
    """Carry out a plan, and return how it went."""
    said: list[str] = []
    move = Move(Plan(store_of(source), store_of(target), **plan), Progress(said.append))
    move.run()
    return move


@pytest.fixture
def site(tmp_path: Path, tahoe_grid: LocalGrid) -> Path:
    """A site in a folder of its own, for commands that run as processes."""
    (tmp_path / "cap").write_text(tahoe_grid.create_root().uri)
    disk_backend = "django.core.files.storage.FileSystemStorage"
    grid = {
        "base_url": tahoe_grid.base_url,
        "base_cap_file": str(tmp_path / "cap"),
        "cache": {"directory": str(tmp_path / "cache")},
    }
    stores = {
        "from": {"BACKEND": disk_backend, "OPTIONS": {"location": "from"}},
        "disk": {"BACKEND": disk_backend, "OPTIONS": {"location": "to"}},
        "stuck": {"BACKEND": "stuck.Stuck", "OPTIONS": {"location": "from"}},
        "some": {"BACKEND": "stuck.Some", "OPTIONS": {"location": "from"}},
        "grid": {"BACKEND": "tahoestorage.storage.TahoeStorage", "OPTIONS": grid},
    }
    (tmp_path / "stuck.py").write_text(STUCK)
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\nUSE_TZ = True\n"
        f"STORAGES = {stores!r}\n"
    )
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    return tmp_path


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


def wait_until(label: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not label():
        assert time.monotonic() < deadline
        time.sleep(0.02)
