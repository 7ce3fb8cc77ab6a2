"""The directory of a private grid: its lock, and the nodes and ports in it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tahoestorage.exceptions import GatewayError
from tahoestorage.testing.furls import write_whole
from tahoestorage.testing.localnode import Encoding, LocalNode

# Below the ephemeral ports of Linux, so that a kept grid finds its own free again.
PORTS = range(20_000, 32_768)


def take_lock(directory: Path, seconds: float) -> int:
    """Make the directory, with mode 0700, and lock it for this process.

    Returns the file descriptor that holds the lock. The nodes inherit it: the directory
    is free when the last node of the last run has ended, even if its process was
    killed. Waits for that up to ``seconds``. Raises GatewayError where another process
    has the lock, or other files are in the directory.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / "grid.lock"
    if not file.exists() and any(directory.iterdir()):
        raise GatewayError(
            f"{directory} is not empty, and holds no private grid. "
            "Give the grid a directory of its own."
        )
    directory.chmod(0o700)
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(lock, 20, 0).decode("ascii")
                os.close(lock)
                raise GatewayError(
                    f"{directory} is in use: process {holder} runs a grid there. "
                    "Stop that one first, or use another directory."
                ) from None
            time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)
    return lock


class Layout(NamedTuple):
    """The nodes of a grid; one that is server and gateway is in both lists."""

    servers: list[LocalNode]
    gateways: list[LocalNode]
    introducer: LocalNode | None


def lay_out(
    directory: Path, servers: int, gateways: int, introducer: bool, encoding: Encoding
) -> Layout:
    """Return the nodes, configured, with ports that are free now.

    Raises ValueError when the directory holds a grid of another shape.
    """
    file = directory / "grid.json"
    shape = {"servers": servers, "gateways": gateways, "introducer": introducer}
    kept: dict[str, Any] = {**shape, "ports": {}}
    if file.exists():
        # Grids of older versions have no introducer.
        kept = {"introducer": False, **json.loads(file.read_text("utf-8"))}
    if kept != {**shape, "ports": kept["ports"]}:
        with_or_without = "with" if kept["introducer"] else "without"
        raise ValueError(
            f"{directory} holds a grid of servers={kept['servers']} and "
            f"gateways={kept['gateways']}, {with_or_without} an introducer. Ask for "
            "the same, or use another directory."
        )
    ports: dict[str, int] = kept["ports"]

    def port(use: str) -> int:
        kept_port = ports.pop(use, None)
        ports[use] = free_port(kept_port, taken=ports.values())
        return ports[use]

    if servers == gateways == 1:
        node = LocalNode(directory / "node", port("web"), port("storage"))
        storage_nodes = gateway_nodes = [node]
    else:
        names = [f"server-{i}" for i in range(servers)]
        storage_nodes = [LocalNode(directory / n, storage_port=port(n)) for n in names]
        names = [f"gateway-{i}" for i in range(gateways)]
        gateway_nodes = [LocalNode(directory / n, web_port=port(n)) for n in names]
    introducer_node = None
    if introducer:
        name = "introducer"
        introducer_node = LocalNode(directory / name, introducer_port=port(name))
        introducer_node.configure(encoding)
    write_whole(file, json.dumps(kept).encode("utf-8"))
    for node in {*storage_nodes, *gateway_nodes}:
        is_static = node.web_port and introducer_node is None
        servers_used = storage_nodes if is_static else []
        node.configure(encoding, servers=servers_used, introducer=introducer_node)
    return Layout(storage_nodes, gateway_nodes, introducer_node)


def free_port(wanted: int | None, taken: Iterable[int]) -> int:
    """Return ``wanted`` if that port is free and not in ``taken``, else another one.

    Raises GatewayError where no port is free.
    """
    choice = secrets.SystemRandom().sample(PORTS, 100)
    for port in [wanted, *choice] if wanted else choice:
        with socket.socket() as probe, suppress(OSError):
            # As the node does it: a port that was closed a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in taken:
                return port
    raise GatewayError("There is no free port on 127.0.0.1.")
