"""A relay of TCP that breaks connections off at given bytes, and can change its server.

with Relay(server.address) as relay:
    relay.cuts = [100_000, 5]
    ...  # The first connection breaks off after 100,000 bytes to the server, and so on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

BLOCK = 1 << 14


class Relay:
    """Passes connections on to the server at ``target``, an http URL.

    While ``cuts`` has a number, the connection by which so many bytes have gone to the
    server takes it; ``after_cut`` is called with the number of cuts until then, and
    both its sides are hung up.
    """

    def __init__(
        self, target: str, after_cut: Callable[[int], None] = lambda made: None
    ) -> None:
        self.target = target
        self.cuts: list[int] = []
        self.counts_all = False
        """Whether a cut counts the bytes of all connections, since the last cut."""
        self.made = 0
        self.passed = 0
        """Bytes that went to the server."""
        self._uncut = 0
        self._after_cut = after_cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._hang_up(*self._open)
        for thread in self._threads:
            thread.join()

    def hang_up(self) -> None:
        """Hang up all connections."""
        with self._lock:
            self._hang_up(*self._open)

    def _start(self, act: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=act, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            where = urlsplit(self.target)
            try:
                server = socket.create_connection((where.hostname, where.port or 80))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            self._start(self._pass, client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        down = threading.Thread(target=self._pass_down, args=(client, server))
        down.start()
        with client, server:
            self._pass_up(client, server)
            down.join()
        with self._lock:
            self._open -= {client, server}

    def _pass_up(self, client: socket.socket, server: socket.socket) -> None:
        sent, is_cut = 0, False
        with contextlib.suppress(OSError):
            while not is_cut and (data := client.recv(BLOCK)):
                with self._lock:
                    before = self._uncut if self.counts_all else sent
                    self._uncut += len(data)
                    if self.cuts and before + len(data) >= self.cuts[0]:
                        is_cut, self._uncut = True, 0
                        data = data[: max(self.cuts.pop(0) - before, 0)]
                sent += len(data)
                server.sendall(data)
                with self._lock:
                    self.passed += len(data)
        if is_cut:
            with self._lock:
                self.made += 1
            # Before the client can connect again.
            self._after_cut(self.made)
        self._hang_up(client, server)

    def _pass_down(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(BLOCK):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _hang_up(self, *connections: socket.socket) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
