"""Programs that tests run as servers, stopped by their processes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = 120.0  # seconds


def program(name: str) -> str:
    """Return the path of a program, the one beside this Python if there is one."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def connect(port: int) -> None:
    """Connect to a port of this machine. Raises OSError where nobody listens."""
    socket.create_connection(("127.0.0.1", port), PATIENCE).close()


@contextlib.contextmanager
def running_program(
    directory: Path, command: list[str], ready: Callable[[], object]
) -> Iterator[None]:
    """Run a program within the block, which begins once ``ready`` does not raise.

    It runs in ``directory``, with its log there. Raises RuntimeError, with the end of
    the log, where it does not start.
    """
    log = directory / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                ready()
                break
            except Exception:
                if process.poll() is not None or time.monotonic() > until:
                    said = log.read_text(errors="replace")[-2000:]
                    raise RuntimeError(
                        f"{command[0]} does not start:\n{said}"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()
