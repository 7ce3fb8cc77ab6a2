"""Ports for what tests start, or for where nobody is to listen."""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

# Below those of `LocalGrid`, and below those that systems give to connections: nobody
# gets one between the look and the use. Each worker of the tests has its own share.
SHARE = 1_000
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
FIRST = 10_000 + int(WORKER) % 10 * SHARE
_offsets = itertools.count(random.randrange(SHARE))


def free_port() -> int:
    """Return a port of this machine on which nobody listens, another one each time."""
    for offset in itertools.islice(_offsets, SHARE):
        port = FIRST + offset % SHARE
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {FIRST} on is free")


def free_ports(count: int) -> list[int]:
    """Return so many of them."""
    return [free_port() for _ in range(count)]
