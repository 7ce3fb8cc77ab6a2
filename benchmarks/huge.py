"""A directory of 100,000 names: memory of the process that first looks into it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from benchmarks.rows import Row, at_most, seconds
from tahoestorage.testing.grid import LocalGrid

NAMES = 100_000
MIB = 1 << 20

_CHILD = """
import json, os, sys
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, INSTALLED_APPS=["tahoestorage"])
import django
django.setup()
from benchmarks.huge import measure
print(json.dumps(measure(json.loads(sys.stdin.read()))))
"""


def huge_directory(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """A first look into a directory of 100,000, and the next ones, in new processes."""
    huge, small = grid.create_root(), grid.create_root()
    _fill(grid.base_url, huge.uri, NAMES)
    _fill(grid.base_url, small.uri, 100)
    for verb in ("exists", "listdir"):
        given = {
            "base_url": grid.base_url,
            "huge": huge.uri,
            "small": small.uri,
            "cache": str(work / f"huge-{verb}"),
            "verb": verb,
        }
        run = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=json.dumps(given),
            capture_output=True,
            check=True,
            text=True,
        )
        found = json.loads(run.stdout)
        beside = f"{found['first']:.1f} s, requests: {found['requests']}"
        text = f"first {verb} among {NAMES:,}: growth of the process"
        yield at_most(text, found["grown"] / MIB, "MiB", 64, beside)
        text = f"the next calls of {verb} among {NAMES:,}: requests"
        yield at_most(text, found["next_requests"], "", 0)
        if verb == "exists":
            text = f"a next name among {NAMES:,}, from disk"
            yield at_most(text, found["next"] * 1e6, "us", 30)


def _name(number: int) -> str:
    return f"{number:06}.txt"


def _fill(base_url: str, root: str, count: int) -> None:
    """Put so many files into a directory by one request; nobody reads them."""

    def cap() -> str:
        key, digest = (
            base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()
            for size in (16, 32)
        )
        return f"URI:CHK:{key}:{digest}:1:1:10000"

    children = {
        _name(number): ["filenode", {"ro_uri": cap(), "metadata": {}}]
        for number in range(count)
    }
    address = f"{base_url}/uri/{quote(root, safe='')}?t=set_children"
    body = json.dumps(children)
    requests.post(address, data=body, timeout=600).raise_for_status()


def memory_line(key: str) -> int:
    """Return a line of this process's status, such as VmRSS, in bytes."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"{key} is not in /proc/{os.getpid()}/status")


def measure(given: dict[str, str]) -> dict[str, float]:
    """Look into a directory, in a process that has looked into another one before."""
    from tahoestorage.storage import TahoeStorage
    from tests.conftest import requests_sent

    def storage_of(root: str) -> TahoeStorage:
        return TahoeStorage(
            base_url=given["base_url"],
            base_cap=root,
            cache={"directory": given["cache"]},
        )

    def look(storage: TahoeStorage, number: int) -> None:
        if given["verb"] == "listdir":
            storage.listdir("")
        elif not storage.exists(_name(number)):
            raise RuntimeError("a name that is there was not found")

    look(storage_of(given["small"]), 1)
    storage = storage_of(given["huge"])
    before = memory_line("VmRSS")
    with requests_sent() as sent:
        first = seconds(lambda: look(storage, 1))
    grown = memory_line("VmHWM") - before
    best = float("inf")
    with requests_sent() as next_sent:
        if given["verb"] == "listdir":
            look(storage, 2)
        else:
            for start in range(2, 5002, 50):
                started = time.perf_counter()
                for number in range(start, start + 50):
                    look(storage, number)
                best = min(best, (time.perf_counter() - started) / 50)
    return {
        "first": first,
        "grown": grown,
        "requests": len(sent),
        "next": best if best != float("inf") else 0.0,
        "next_requests": len(next_sent),
    }
