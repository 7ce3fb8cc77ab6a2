"""A private grid on this machine, for development and tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Self

from tahoestorage import forks
from tahoestorage.exceptions import GatewayTimeout, Lines
from tahoestorage.tahoe.caps import Cap, Shares
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.quorum import create_root
from tahoestorage.testing.griddirectory import lay_out, take_lock
from tahoestorage.testing.localnode import Encoding, LocalNode, PortTaken, find_tahoe

ENDING = 5.0  # seconds that a node has to end by itself


class LocalGrid:
    """A grid of real Tahoe-LAFS nodes on loopback, for as long as this process lives.

    Use it as a context manager, or call `start` and `stop`::

        with LocalGrid() as grid:
            storage = TahoeStorage(base_url=grid.base_url, base_cap=grid.create_root())

    Raises ValueError for arguments that do not fit each other or the kept grid. Starts
    raise GatewayError when there is no executable, or another process has the grid;
    GatewayUnreachable when a node ends by itself; GatewayTimeout after `timeout`.

    :param directory: where the grid lives, kept with its files and, where they are
        free, its ports; losing it loses the files. None: a temporary one, removed at
        the end. One process at a time may run a directory.
    :param servers: storage servers. A kept grid is always started with as many.
    :param gateways: gateways, each to all servers; kept too. With one of both, they
        are one node; otherwise each is a node of its own.
    :param introducer: whether an introducer announces the servers to the gateways, as
        on a public grid. The gateways then speak HTTPS to the servers, and reconnect
        to one that was away in a second or two; without it they speak Foolscap, and try
        a lost server again only after a time that grows to an hour. Kept too.
    :param tahoe: the executable, which may live in another environment. None: the one
        beside this Python, else the one on the PATH.
    :param needed: shares that restore a file. Default: 2; 1 with one server.
    :param happy: servers that an upload must reach. Default: 3, or all but one where
        there are three, or as many as there are.
    :param total: shares that a file is encoded into. Default: one for each server.
    :param timeout: seconds that the nodes have to find each other.
    """

    base_urls: tuple[str, ...] = ()
    """The addresses of the gateways, once they were started."""

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        servers: int = 1,
        gateways: int = 1,
        introducer: bool = False,
        tahoe: str | Path | None = None,
        needed: int | None = None,
        happy: int | None = None,
        total: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        if servers < 1 or gateways < 1:
            raise ValueError("A grid has at least one server and one gateway.")
        self.encoding = Encoding.for_servers(servers, needed, happy, total)
        self._shape = (servers, gateways, introducer)
        self._kept = Path(directory).expanduser().resolve() if directory else None
        self._directory = self._kept
        self._tahoe = tahoe
        self._timeout = timeout
        self._lock: int | None = None
        self._servers: list[LocalNode] = []
        self._gateways: list[LocalNode] = []
        self._introducer: LocalNode | None = None

    @property
    def directory(self) -> Path:
        """The grid's directory. A temporary one exists only while the grid runs."""
        if self._directory is None:
            raise RuntimeError("The grid is not running; call start() first.")
        return self._directory

    @property
    def base_url(self) -> str:
        """The first gateway's address. Raises RuntimeError before the first start."""
        if not self.base_urls:
            raise RuntimeError("The grid was not started; call start() first.")
        return self.base_urls[0]

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the running nodes."""
        return tuple(node.process.pid for node in self._nodes if node.process)

    def log_path(self, gateway: int = 0) -> Path:
        """Return the file that a gateway logs to, anew at each of its starts."""
        return self._gateways[gateway].log_path

    def create_root(self) -> Cap:
        """Make an empty root directory and return its write cap."""
        with closing(Gateway(self.base_url)) as gateway:
            shares = Shares(self.encoding.needed, self.encoding.total)
            return create_root(gateway, shares=shares)

    def start(self) -> None:
        """Start every node, and return when each gateway sees each server."""
        if self._lock is not None:
            raise RuntimeError("The grid is running already.")
        self._directory = self._kept or Path(tempfile.mkdtemp(prefix="tahoe-grid-"))
        self._lock = take_lock(self._directory, ENDING)
        atexit.register(self.stop)
        running.add(self)
        try:
            for is_last in (False, False, True):
                nodes = lay_out(self._directory, *self._shape, self.encoding)
                self._servers, self._gateways, self._introducer = nodes
                self.base_urls = tuple(node.base_url for node in self._gateways)
                try:
                    self._start(self._nodes)
                    break
                except PortTaken:
                    if is_last:
                        raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every node, and remove a temporary directory. May be repeated."""
        if self._lock is not None:
            self._end(self._nodes)
            self._release()
            if self._kept is None:
                shutil.rmtree(self.directory, ignore_errors=True)
                self._directory = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop_server(self, server: int) -> None:
        """Stop a storage server, and return when no gateway sees it any more.

        Where one node is both, the gateway stops with it.
        """
        self._end([self._servers[server]])
        self._settle()

    def start_server(self, server: int) -> None:
        """Start a stopped storage server, and return when each gateway sees it.

        Without an introducer a gateway tries a lost server again after 1, 4, 11, 31,
        85 ... seconds.
        """
        self._start([self._servers[server]])

    def stop_gateway(self, gateway: int) -> None:
        """Stop a gateway. Its address is kept for its next start."""
        self._end([self._gateways[gateway]])

    def start_gateway(self, gateway: int) -> None:
        """Start a stopped gateway, and return when it sees every running server."""
        self._start([self._gateways[gateway]])

    def check(self) -> None:
        """Raise GatewayUnreachable when a node has ended by itself."""
        for node in self._nodes:
            node.check()

    @property
    def _nodes(self) -> list[LocalNode]:
        """The introducer, servers, gateways; a node that is both, once."""
        first = [self._introducer] if self._introducer else []
        rest = [g for g in self._gateways if g not in self._servers]
        return first + self._servers + rest

    def _start(self, nodes: list[LocalNode]) -> None:
        """Start nodes, and let them find each other.

        In order: who finds another one closed tries again only after a second or more.
        """
        introducers = [node for node in nodes if node.introducer_port]
        servers = [node for node in nodes if node.storage_port]
        try:
            self._open(introducers)
            self._open(servers)
            self._open([n for n in nodes if n not in introducers + servers])
            self._settle()
        except BaseException:
            self._end(nodes)
            raise

    def _open(self, nodes: list[LocalNode]) -> None:
        """Start nodes, and wait until they listen."""
        if self._lock is None:
            raise RuntimeError("The grid is not running in this process.")
        tahoe = find_tahoe(self._tahoe)
        for node in nodes:
            if node.process is None:
                node.start(tahoe, self._lock)
        self._wait_until(lambda: all(node.listens() for node in nodes))

    def _settle(self) -> None:
        """Wait until every running gateway sees exactly the running servers."""
        up = sum(server.process is not None for server in self._servers)
        gateways = [gateway for gateway in self._gateways if gateway.process]
        self._wait_until(lambda: all(g.connected_servers() == up for g in gateways))

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._timeout
        while not ready():
            for node in self._nodes:
                node.check_start()
            if time.monotonic() > deadline:
                logs = [f"{node.name}:\n{node.log_tail()}" for node in self._nodes]
                problem = (
                    "The nodes of the grid have not found each other in "
                    f"{self._timeout:g} s. The ends of their logs:"
                )
                raise GatewayTimeout(Lines("\n".join([problem, *logs])))
            time.sleep(0.05)

    def _end(self, nodes: list[LocalNode]) -> None:
        for node in nodes:
            node.end()
        for node in nodes:
            node.wait(ENDING)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            atexit.unregister(self.stop)
            running.discard(self)

    def _abandon(self) -> None:
        """Leave the grid to the parent: open pipes in a child would keep it alive."""
        for node in self._nodes:
            node.abandon()
        self._release()


running: weakref.WeakSet[LocalGrid] = weakref.WeakSet()


def abandon_all() -> None:
    """Leave all grids to the parent of this process, which was just forked."""
    for grid in list(running):
        grid._abandon()


forks.in_child(abandon_all)
