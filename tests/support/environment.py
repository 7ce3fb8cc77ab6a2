"""What the environment makes of a store, and the errors that it reports, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tahoestorage import env

ROOT = Path(__file__).resolve().parent.parent.parent
S3 = "tahoestorage.backends.s3.S3Storage"
GCS = "tahoestorage.backends.gcs.GCSStorage"
TAHOE = "tahoestorage.storage.TahoeStorage"
FOLDER = "django.core.files.storage.FileSystemStorage"
MEMORY = "django.core.files.storage.InMemoryStorage"
CAP = "URI:DIR2:" + "a" * 26 + ":" + "a" * 52


def errors(make: Callable[[], object]) -> list[str]:
    """Return the errors that are reported, one by one."""
    with pytest.raises(ImproperlyConfigured) as raised:
        make()
    return str(raised.value).split("\n- ")[1:]


def from_url(url: str) -> dict[str, Any]:
    return env.storage("NONE_SUCH", default=url)


def options(url: str) -> dict[str, Any]:
    made: dict[str, Any] = from_url(url)["OPTIONS"]
    return made


def wrong(url: str) -> list[str]:
    return [
        error.removeprefix("The default") for error in errors(lambda: from_url(url))
    ]


def as_text(value: object) -> str:
    """Return how somebody would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return str(int(value.total_seconds()))
    if isinstance(value, list | tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)


def run(program: str, status: int = 0) -> str:
    """Run a program without any Django settings; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr
