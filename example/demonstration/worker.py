"""A worker for what the site does in the background, in a process of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from demonstration.server import running


@contextlib.contextmanager
def worker(directory: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run it, and end it after; what it says is in ``worker.log``."""
    command = [sys.executable, "manage.py", "jobs_worker"]
    # The log of requests counts what the site asks for.
    environment = {k: v for k, v in environment.items() if k != "REQUESTS_LOG"}
    with running(command, directory / "worker.log", environment):
        yield
