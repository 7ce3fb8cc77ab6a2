"""Connections to a gateway, and how long each step on them may take."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Retry

from tahoestorage.tahoe.timely import TimelyAnswer

CONNECTIONS = 16
PASSING_FAULTS = (502, 503, 504)


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


class _Again(Retry):
    """Asks again, and reads no body before it that could be without an end."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        *args: Any,
        **more: Any,
    ) -> _Again:
        left = super().increment(method, url, response, *args, **more)
        if response is not None:
            response.close()
        return left


class Adapter(HTTPAdapter):
    """Sends within the time limits, and asks again what changes nothing."""

    def __init__(self, retries: int, send_timeout: float, rate: float) -> None:
        self._send_timeout = send_timeout
        self._rate = rate
        again = _Again(
            total=retries,
            backoff_factor=0.1,
            allowed_methods=("GET", "HEAD"),
            status_forcelist=PASSING_FAULTS,
            raise_on_status=False,
            redirect=False,
            # It may say a year.
            respect_retry_after_header=False,
        )
        super().__init__(
            pool_connections=1, pool_maxsize=CONNECTIONS, max_retries=again
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        limits = {
            "send_timeout": self._send_timeout,
            "response_class": type("Answer", (TimelyAnswer,), {"rate": self._rate}),
        }
        self.poolmanager.pool_classes_by_scheme = {
            "http": type(
                "Pool",
                (HTTPConnectionPool,),
                {"ConnectionCls": type("Connection", (_Patient,), limits)},
            ),
            "https": type(
                "Pool",
                (HTTPSConnectionPool,),
                {"ConnectionCls": type("Connection", (_PatientSecure,), limits)},
            ),
        }


class Session(requests.Session):
    """Goes where it is sent, with what it is given, and keeps nothing it is told."""

    def __init__(self) -> None:
        super().__init__()
        # No proxy, no .netrc: a cap must not take a way round.
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: to prepare for another place, all of the body would be read."""
        return None
