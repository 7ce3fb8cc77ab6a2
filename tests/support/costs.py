"""What a lookup costs: reads of the file of counters, queries of SQLite, sends."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tahoestorage.cache import localtiers, rawcache


class Costs:
    """What was done since the last `taken`, in this process."""

    def __init__(self) -> None:
        self.reads = 0
        """Of the file of counters."""
        self.queries = 0
        """Of SQLite."""
        self.sends = 0
        """To sockets: none means that no server was asked."""

    def taken(self) -> list[int]:
        """Return the reads, queries and sends, and begin at zero again."""
        costs = [self.reads, self.queries, self.sends]
        self.reads = self.queries = self.sends = 0
        return costs


@contextlib.contextmanager
def costs_counted() -> Iterator[Costs]:
    """Count what is done within the block."""
    costs = Costs()
    pread, execute, sendall = (
        os.pread,
        rawcache.Connection.execute,
        socket.socket.sendall,
    )

    def read(*arguments: Any) -> bytes:
        costs.reads += 1
        return pread(*arguments)

    def query(self: rawcache.Connection, *arguments: Any) -> sqlite3.Cursor:
        costs.queries += 1
        return execute(self, *arguments)

    def send(self: socket.socket, *arguments: Any) -> None:
        costs.sends += 1
        sendall(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", read)
        patch.setattr(rawcache.Connection, "execute", query)
        patch.setattr(socket.socket, "sendall", send)
        # Whether the files are still there is looked at by time, and is not counted.
        patch.setattr(localtiers, "LOOK_SECONDS", 3600.0)
        yield costs
