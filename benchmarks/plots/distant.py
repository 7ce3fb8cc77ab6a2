"""A grid whose servers are far from its gateway: a TCP relay between them delays."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

from benchmarks.latency import farther
from tahoestorage.testing.grid import LocalGrid

ADDRESS = re.compile(r"@tcp:([\d.]+:\d+)/")


@contextlib.contextmanager
def distant_servers(round_trip: float, servers: int = 2) -> Iterator[LocalGrid]:
    """Yield a grid with so many seconds of round trip from the gateway to each server.

    The servers' addresses in the gateway's ``private/servers.yaml`` become those of the
    relays.
    """
    with contextlib.ExitStack() as stack:
        grid = stack.enter_context(LocalGrid(servers=servers))
        grid.stop_gateway(0)
        # The servers have such a file too, with no server in it.
        known = {
            file: json.loads(file.read_text("utf-8"))["storage"]
            for file in grid.directory.glob("*/private/servers.yaml")
        }
        ((file, storage),) = ((f, s) for f, s in known.items() if s)
        for server in storage.values():
            furl = server["ann"]["anonymous-storage-FURL"]
            found = ADDRESS.search(furl)
            if found is None:
                raise RuntimeError("a server's address is not as expected")
            there = stack.enter_context(farther(f"http://{found[1]}", round_trip / 2))
            address = f"@tcp:{there.removeprefix('http://')}/"
            server["ann"]["anonymous-storage-FURL"] = ADDRESS.sub(address, furl)
        file.write_text(json.dumps({"storage": storage}), "utf-8")
        grid.start_gateway(0)
        yield grid
