"""A grid as the guide makes it: from nothing to a file that is saved and read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.application.deploy.nodes import (
    make_here,
    running_gateway,
    running_node,
    running_server,
)
from tests.application.deploy.units import told

COMMANDS = {"introducer": "create-introducer", "gateway": "create-client"}
SERVERS = [f"server-{number}" for number in range(1, 6)]


@pytest.fixture
def made(tmp_path: Path) -> dict[str, int]:
    """The nodes of the six machines, which were never started, and their ports."""
    names = ["introducer", *SERVERS, "gateway"]

    def make(name: str) -> int:
        return make_here(COMMANDS.get(name, "create-node"), tmp_path / name)

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(make, names), strict=True))


@pytest.fixture
def gateway(made: dict[str, int], tmp_path: Path) -> Iterator[str]:
    """The URL of the gateway, when all are running."""
    (function,) = (one for one in told() if one.startswith("introduce()"))
    furl = tmp_path / "introducer" / "private" / "introducer.furl"

    def is_written() -> None:
        assert furl.read_text().endswith("\n")

    with ExitStack() as stack, ThreadPoolExecutor(len(SERVERS)) as pool:
        stack.enter_context(running_node(tmp_path / "introducer", is_written))
        (tmp_path / "introducer.furl").write_text(furl.read_text())
        for name in (*SERVERS, "gateway"):
            script = f"chown() {{ :; }}; {function}; introduce {name}"
            subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
        running = [running_server(tmp_path / name, made[name]) for name in SERVERS]
        list(pool.map(stack.enter_context, running))
        place = tmp_path / "gateway"
        running_one = running_gateway(place, made["gateway"], len(SERVERS))
        yield stack.enter_context(running_one)


def test_the_nodes_that_the_guide_makes_are_a_grid(
    gateway: str, tmp_path: Path
) -> None:
    content = os.urandom(100_000)

    cap = requests.put(f"{gateway}/uri", data=content, timeout=60).text
    read = requests.get(f"{gateway}/uri/{cap}", timeout=60)

    assert read.content == content
    # Any two of five give it back.
    assert re.findall(r":(\d+):(\d+):\d+$", cap) == [("2", "5")]
    for name in SERVERS:
        shares = tmp_path / name / "storage" / "shares"
        assert [path for path in shares.rglob("*") if path.is_file()], name
