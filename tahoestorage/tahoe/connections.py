"""Connections to a gateway, and how long each step on them may take."""

from __future__ import annotations

import socket
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Retry

from tahoestorage.tahoe.deadlines import DeadlineResponse
from tahoestorage.tahoe.schemes import NoTLS, speaks_http

CONNECTIONS = 16
PASSING_ERRORS = (502, 503, 504)
_TOO_MANY = 429
# What the same request would only come to again, and later.
_FINAL = (ReadTimeoutError, ConnectTimeoutError, SSLError)
_LEAST_SECONDS = 0.001
LOOK_SECONDS = 1.0


class UploadTimeout(urllib3.Timeout):
    """A wait for the response that grows with what was sent.

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
        """Seconds to wait for the response."""
        return self._least + self.sent / self._rate


class _Patient(HTTPConnection):
    """Gives a gateway that is busy as long for each block sent as for a response.

    urllib3 sends under the time limit for connecting; a gateway that reads a large
    directory takes nothing from anybody for seconds.
    """

    send_timeout: float

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        super().endheaders(*args, **kwargs)
        if self.sock is not None:
            self.sock.settimeout(self.send_timeout)


class _PatientSecure(_Patient, HTTPSConnection):
    """Looks whether http is spoken where TLS is not begun within a second or so.

    A gateway takes the beginning of TLS for one of a request, and waits for the rest.
    """

    _hasty = False

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        if self._hasty:
            made.settimeout(min(LOOK_SECONDS, made.gettimeout() or LOOK_SECONDS))
        return made

    def connect(self) -> None:
        self._hasty = True
        try:
            super().connect()
            return
        except TimeoutError:
            self.close()
        finally:
            self._hasty = False
        if speaks_http(self.host, self.port or 443, LOOK_SECONDS):
            raise NoTLS("http is spoken there")
        super().connect()


class _Again(Retry):
    """Asks again until a deadline, never after a time-out, nor where TLS fails.

    It reads no body before it that could be without an end.
    """

    deadline: float | None = None

    def until(self, deadline: float) -> _Again:
        """Return the same, with a deadline by the monotonic clock."""
        again = self.new()
        again.deadline = deadline
        return again

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        *rest: Any,
        **more: Any,
    ) -> _Again:
        late = self.deadline is not None and time.monotonic() >= self.deadline
        # A refusal is one of urllib3's timeouts too.
        refused = isinstance(error, NewConnectionError)
        if late or (isinstance(error, _FINAL) and not refused):
            raise MaxRetryError(_pool, url or "", error)
        left = super().increment(method, url, response, error, _pool, *rest, **more)
        left.deadline = self.deadline
        if response is not None:
            response.close()
        return left


class _InTime:
    """A pool that repeats a request only within the time that one request has."""

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        *rest: Any,
        timeout: Any = None,
        **more: Any,
    ) -> Any:
        # Uploads have a time limit of their own, and are not repeated.
        if isinstance(retries, _Again) and not isinstance(timeout, UploadTimeout):
            now = time.monotonic()
            if retries.deadline is None:
                seconds = timeout.connect_timeout + timeout.read_timeout
                retries = retries.until(now + seconds)
            else:
                left = max(retries.deadline - now, _LEAST_SECONDS)
                timeout = urllib3.Timeout(
                    connect=min(timeout.connect_timeout, left),
                    read=min(timeout.read_timeout, left),
                )
        return super().urlopen(  # type: ignore[misc]
            method, url, body, headers, retries, *rest, timeout=timeout, **more
        )


class _Pool(_InTime, HTTPConnectionPool):  # type: ignore[misc]
    pass


class _SecurePool(_InTime, HTTPSConnectionPool):  # type: ignore[misc]
    pass


class Adapter(HTTPAdapter):
    """Sends within the time limits, and asks again what changes nothing."""

    def __init__(self, retries: int, send_timeout: float, rate: float) -> None:
        self._send_timeout = send_timeout
        self._rate = rate
        again = _Again(
            total=retries,
            backoff_factor=0.1,
            allowed_methods=("GET", "HEAD"),
            status_forcelist=(_TOO_MANY, *PASSING_ERRORS),
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
            "response_class": type(
                "Response", (DeadlineResponse,), {"rate": self._rate}
            ),
        }
        self.poolmanager.pool_classes_by_scheme = {
            "http": type(
                "Pool",
                (_Pool,),
                {"ConnectionCls": type("Connection", (_Patient,), limits)},
            ),
            "https": type(
                "Pool",
                (_SecurePool,),
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
