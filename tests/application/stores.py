"""Stores of each kind for the application's tests, under aliases of STORAGES."""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from accounts.models import User
from objects import storing
from objects.incoming import IncomingFile
from objects.models import Version
from tahoestorage.testing.grid import LocalGrid
from tests.support.s3_servers import S3Server

KINDS = ("files", "grid", "s3")


def store_entry(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> dict[str, Any]:
    """Return the entry of STORAGES of a new, empty store."""
    directory = tmp_path / secrets.token_hex(4)
    options: dict[str, Any] = {"location": str(directory)}
    backend = "django.core.files.storage.FileSystemStorage"
    if kind == "grid":
        grid: LocalGrid = request.getfixturevalue("tahoe_grid")
        backend = "tahoestorage.storage.TahoeStorage"
        options = {
            "base_url": grid.base_url,
            "base_cap": grid.create_root().uri,
            "cache": {"directory": str(directory)},
        }
    elif kind in {"s3", "s3 by https"}:
        fixture = "weed" if kind == "s3" else "tls_weed"
        server: S3Server = request.getfixturevalue(fixture)
        backend = "tahoestorage.backends.s3.S3Storage"
        options = {
            **server.options,
            "bucket_name": server.make_bucket(),
            "cache": {"directory": str(directory)},
            # As config.settings has it for each store on S3.
            "object_parameters": {"ChecksumAlgorithm": "SHA256"},
        }
    return {"BACKEND": backend, "OPTIONS": options}


def put(user: User, content: bytes, name: str = "a.bin", folder: str = "b") -> Version:
    """Store content as the newest version of the user's object of that name."""
    return storing.store(
        IncomingFile(io.BytesIO(content), len(content)),
        tenant=user.tenant,
        user=user,
        folder=folder,
        name=name,
    )


@contextlib.contextmanager
def after_the_dump() -> Iterator[None]:
    """At the end of the block the database is as it was, and the stores are not.

    So it is where one is restored. The test is within a transaction.
    """
    before = transaction.savepoint()
    yield
    transaction.savepoint_rollback(before)


def damage_saves(storage: Any, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Let the byte at ``place`` be another in whatever this disk is sent."""
    save = storage.save

    def damage(name: str, content: Any) -> str:
        stored: str = save(name, content)
        with Path(storage.path(stored)).open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))
        return stored

    monkeypatch.setattr(storage, "save", damage)


def read(version: Version) -> bytes:
    """Return what the version's store has of it."""
    with version.storage.open(version.key) as file:
        return bytes(file.read())


def names_in(storage: Any, directory: str) -> list[str]:
    """Return the names of all files below a directory; none where there is none."""
    try:
        directories, files = storage.listdir(directory)
    except FileNotFoundError:
        return []
    found = [f"{directory}/{name}" for name in files]
    for name in directories:
        found += names_in(storage, f"{directory}/{name}")
    return found
