"""Connections to a gateway, and how long each step on them may take."""

from __future__ import annotations

from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Retry

CONNECTIONS = 16


class UploadTimeout(urllib3.Timeout):
    """A wait for the answer that grows with what was sent.

    The gateway takes a body as fast as it comes, and only then brings it to the
    grid: the wait begins after the last byte.
    """

    def __init__(self, connect: float, read: float, rate: float) -> None:
        super().__init__(connect=connect, read=read)
        self._least = read
        self._rate = rate
        self.sent = 0

    def clone(self) -> UploadTimeout:
        """Return itself: urllib3 asks again after the body was sent."""
        self._start_connect = None
        return self

    @property
    def read_timeout(self) -> float:
        """Seconds to wait for the answer."""
        return self._least + self.sent / self._rate


class _Patient(HTTPConnection):
    """Gives a gateway that is busy as long for each block sent as for an answer.

    urllib3 sends under the time limit for connecting; a gateway that reads a large
    directory takes nothing from anybody for seconds.
    """

    send_timeout: float

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        super().endheaders(*args, **kwargs)
        if self.sock is not None:
            self.sock.settimeout(self.send_timeout)


class _PatientSecure(_Patient, HTTPSConnection):
    pass


class Adapter(HTTPAdapter):
    def __init__(self, retries: Retry, send_timeout: float) -> None:
        self._send_timeout = send_timeout
        super().__init__(
            pool_connections=1, pool_maxsize=CONNECTIONS, max_retries=retries
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        limit = {"send_timeout": self._send_timeout}
        self.poolmanager.pool_classes_by_scheme = {
            "http": type(
                "Pool",
                (HTTPConnectionPool,),
                {"ConnectionCls": type("Connection", (_Patient,), limit)},
            ),
            "https": type(
                "Pool",
                (HTTPSConnectionPool,),
                {"ConnectionCls": type("Connection", (_PatientSecure,), limit)},
            ),
        }
