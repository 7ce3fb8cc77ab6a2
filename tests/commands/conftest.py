"""What tests of several commands share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import Storage, storages
from pytest_django.fixtures import Settings

from tahoestorage.care import examiner
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.support.checked_sites import make_site
from tests.support.commands import Made, run
from tests.support.moves import Add
from tests.support.s3_servers import S3Server

COMMAND = "tahoestorage.management.commands.storage_orphans"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the command believe that so many seconds have passed."""

    def pass_by(seconds: float) -> None:
        monkeypatch.setattr(f"{COMMAND}.epoch_now", lambda: time.time() + seconds)

    return pass_by


@pytest.fixture
def make(add: Add, settings: Settings, moto: S3Server) -> Add:
    """Make a storage of a kind, with an alias."""

    def make(alias: str, kind: str, **options: Any) -> Storage:
        if kind != "s3":
            return add(alias, kind, **options)
        options = {**moto.options, "bucket_name": moto.make_bucket(), **options}
        backend = "tahoestorage.backends.s3.S3Storage"
        settings.STORAGES = {
            **settings.STORAGES,
            alias: {"BACKEND": backend, "OPTIONS": {**options, "cache": False}},
        }
        return storages[alias]

    return make


@pytest.fixture
def grid(four_servers: LocalGrid) -> LocalGrid:
    """Four servers, 2-of-4, segments of 1 MiB, that come back within seconds."""
    return four_servers


@pytest.fixture
def checked_site(grid: LocalGrid, settings: Settings) -> TahoeStorage:
    """A site whose files no other test has: equal content would have equal shares."""
    return make_site(grid, settings)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    """Run the command, with its record in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(examiner, "PAUSE", 0.05)
    monkeypatch.setattr(examiner, "RETRY_PAUSES", (0.05, 0.05))
    return lambda *arguments: run("tahoe_check", "--json", *arguments)
