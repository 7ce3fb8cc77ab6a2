"""Nodes of Tahoe-LAFS, made by the commands of the guide to one's own hosts."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tahoestorage.testing.localnode import LocalNode
from tests.application.deploy.units import told
from tests.support.ports import free_port
from tests.support.programs import connect, program, running_program


def given(command: str) -> list[list[str]]:
    """Return the options of each `tahoe COMMAND` of the guide, without the folder."""
    start = f"tahoe {command} "
    found = [line.partition(start)[2] for line in told() if start in line]
    return [shlex.split(line)[:-1] for line in found]


def make_node(command: str, options: list[str], place: Path) -> None:
    """Make a node there, with these options."""
    arguments = [program("tahoe"), command, *options, str(place)]
    subprocess.run(arguments, check=True, capture_output=True)


def make_here(command: str, place: Path) -> int:
    """Make a node there by the guide's first command, on a port of this machine.

    Returns the port: a gateway's for the web, the others' for other nodes.
    """
    port, options = free_port(), given(command)[0]
    here = [
        re.sub(r"tcp:\d+(:interface=[\d.]+)?$", f"tcp:{port}:interface=127.0.0.1", one)
        for one in options
    ]
    here = [re.sub(r"tcp:grid1:\d+$", f"tcp:127.0.0.1:{port}", one) for one in here]
    # Each of them names a port, and where others find it.
    assert sum(str(port) in one for one in here) == 1 + ("--port" in str(options))
    make_node(command, here, place)
    return port


@contextlib.contextmanager
def running_node(place: Path, ready: Callable[[], object]) -> Iterator[None]:
    """Run a node within the block, as a unit does; ``ready`` raises until it is."""
    run = [program("tahoe"), "run", "--allow-stdin-close", str(place)]
    with running_program(place, run, ready):
        yield


@contextlib.contextmanager
def running_server(place: Path, port: int) -> Iterator[None]:
    """Run a storage server within the block."""
    with running_node(place, lambda: connect(port)):
        yield


@contextlib.contextmanager
def running_gateway(place: Path, port: int, servers: int) -> Iterator[str]:
    """Run a gateway within the block, and yield its URL once it has its servers."""
    node = LocalNode(place, web_port=port)

    def ready() -> None:
        assert node.connected_servers() == servers

    with running_node(place, ready):
        yield node.base_url
