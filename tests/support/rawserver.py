"""A server that says exactly the bytes it is told to, in its own time.

For what neither a real gateway nor ``tests.support.proxy`` can be made to say.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Self

Script = Callable[[], Iterable[bytes | float]]
"""Begins a response anew: bytes to be sent, and seconds to wait in between."""


class RawServer:
    """Answers each connection's first request with ``script``, then hangs up.

    With ``linger`` it hangs up only at the end. ``accepted`` counts connections.
    """

    def __init__(self, script: Script, *, linger: bool = False) -> None:
        self._script = script
        self._linger = linger
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self.accepted = 0
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.accepted += 1
                self._connections.append(connection)
                self._start(functools.partial(self._response, connection))

    def _response(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if not self._linger:
                stack.callback(connection.close)
            head = b""
            while b"\r\n\r\n" not in head:
                some = connection.recv(1 << 16)
                if not some:
                    return
                head += some
            for part in self._script():
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif self._stopping.wait(part):
                    return
            if not self._linger:
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        self._start(self._serve)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        # The first one makes the others.
        self._threads[0].join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.close()
