"""What ``storage_orphans`` is tested with: stores of each kind, and a later time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import Storage, storages
from pytest_django.fixtures import Settings

from tests.support import commands
from tests.support.commands import Made
from tests.support.moves import Add
from tests.support.s3_servers import S3Server

COMMAND = "tahoestorage.management.commands.storage_orphans"


def run(*arguments: str) -> Made:
    """Run the command."""
    return commands.run("storage_orphans", *arguments)


def found(*arguments: str) -> dict[str, Any]:
    """Run the command, and return what it prints as JSON."""
    return run(*arguments, "--json").json


def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets the command believe that so many seconds have passed."""

    def pass_by(seconds: float) -> None:
        monkeypatch.setattr(f"{COMMAND}.epoch_now", lambda: time.time() + seconds)

    return pass_by


def adding(add: Add, settings: Settings, moto: S3Server) -> Add:
    """Return what makes a storage of any kind, S3 too, with an alias."""

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
