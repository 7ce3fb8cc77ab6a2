"""The stores: a real grid, an S3 server, and an emulator of Google Cloud Storage."""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image
from pytest_django.fixtures import Settings

from tahoestorage.testing.grid import LocalGrid

KEYS = {"access_key": "testkey", "secret_key": "testsecret12"}
PATIENCE = 60


@contextlib.contextmanager
def running(module: str, *options: str) -> Iterator[str]:
    """Run a server of Python's within the block; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", module, *options, f"--port={port}"]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of an S3 server."""
    with running("moto.server", "--host=127.0.0.1") as address:
        yield address


@pytest.fixture(scope="session")
def gcs() -> Iterator[str]:
    """The address of an emulator of Google Cloud Storage."""
    options = ("start", "--host=127.0.0.1", "--in-memory")
    with running("gcp_storage_emulator", *options) as address:
        yield address


@pytest.fixture(autouse=True)
def nothing_cached() -> None:
    """These libraries remember what they made, by names that tests use again."""
    cache.clear()


@pytest.fixture(params=["tahoe", "s3", "gcs"])
def store(
    request: pytest.FixtureRequest,
    settings: Settings,
    tahoe_grid: LocalGrid,
    moto: str,
    gcs: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Any:
    """The default storage, which is a new one for each test."""
    if request.param == "tahoe":
        backend = "tahoestorage.storage.TahoeStorage"
        options: dict[str, Any] = {
            "base_url": tahoe_grid.base_url,
            "base_cap": tahoe_grid.create_root().uri,
        }
    elif request.param == "gcs":
        backend = "tahoestorage.backends.gcs.GCSStorage"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
        bucket = {"name": tmp_path.name.replace("_", "-").lower()}
        requests.post(
            f"{gcs}/storage/v1/b?project=tests", json=bucket, timeout=PATIENCE
        ).raise_for_status()
        options = {
            "bucket_name": bucket["name"],
            # The emulator overwrites all the same; nobody else writes there.
            "conditional_writes": True,
            "querystring_auth": False,
        }
    else:
        backend = "tahoestorage.backends.s3.S3Storage"
        name = tmp_path.name.replace("_", "-").lower()
        options = {**KEYS, "endpoint_url": moto, "region_name": "us-east-1"}
        boto3.client(
            "s3",
            endpoint_url=moto,
            region_name="us-east-1",
            aws_access_key_id=KEYS["access_key"],
            aws_secret_access_key=KEYS["secret_key"],
        ).create_bucket(Bucket=name)
        options["bucket_name"] = name
    options["cache"] = {"directory": str(tmp_path / "cache")}
    settings.STORAGES = {
        "default": {"BACKEND": backend, "OPTIONS": options},
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        },
    }
    return default_storage


@pytest.fixture
def picture() -> ContentFile[bytes]:
    """A picture of 640 x 480."""
    content = io.BytesIO()
    Image.effect_mandelbrot((640, 480), (-2, -1, 1, 1), 40).convert("RGB").save(
        content, "JPEG"
    )
    return ContentFile(content.getvalue(), "picture.jpg")
