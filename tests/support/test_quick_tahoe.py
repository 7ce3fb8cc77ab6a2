"""A node that was forked is like any other to who has started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.testing.grid import LocalGrid

PARENT = """
import os
from tahoestorage.testing.grid import LocalGrid
from tests.support.quick_tahoe import quick_nodes
with quick_nodes() as tahoe:
    grid = LocalGrid(tahoe=tahoe)
    grid.start()
    print(*grid.pids, flush=True)
    os.kill(os.getpid(), 9)
"""


def is_running(pid: int) -> bool:
    try:
        return status(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def status(pid: int) -> list[str]:
    """Return the fields of /proc/…/stat after the name: state, parent, session …"""
    text = Path(f"/proc/{pid}/stat").read_text("utf-8")
    return text.rpartition(")")[2].split()


def check_until_it_raises(grid: LocalGrid) -> None:
    """The fork server is told of the end first, and tells it then."""
    while True:
        grid.check()
        time.sleep(0.02)


def test_a_node_is_forked_and_its_end_is_noticed(tahoe: Path) -> None:
    with LocalGrid(tahoe=tahoe) as grid:
        (pid,) = grid.pids
        assert b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
        *_, session = status(pid)[:4]
        assert int(session) == pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(GatewayUnreachable, match="with status -9"):
            check_until_it_raises(grid)


def test_nodes_end_with_who_has_started_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT]
    # What the parent leaves behind is the test's.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run(
        command, stdout=subprocess.PIPE, env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    (pid,) = map(int, killed.stdout.split())
    while is_running(pid):
        time.sleep(0.02)
