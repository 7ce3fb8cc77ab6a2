"""The connections below ``transport``: what each may take, and what it is sent."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
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

from tahoestorage.schemes import NoTLS, speaks_http
from tahoestorage.tahoe.deadlines import DeadlineResponse

CONNECTIONS = 16
TRANSIENT_STATUSES = (502, 503, 504)
_TOO_MANY_REQUESTS = 429
# A retry would most likely fail in the same way, and later.
_NOT_RETRIED = (ReadTimeoutError, ConnectTimeoutError, SSLError)
_LEAST_SECONDS = 0.001
SCHEME_PROBE_SECONDS = 1.0


class UploadTimeout(urllib3.Timeout):
    """A time limit, in seconds, that grows with the bytes ``sent``.

    The gateway first receives the whole body, and only then uploads it to the grid. So
    the wait for the response begins after the last byte, and may take ``read`` seconds
    and the time for the content at ``rate`` bytes per second.
    """

    def __init__(self, connect: float, read: float, rate: float) -> None:
        super().__init__(connect=connect, read=read)
        self._least = read
        self._rate = rate
        self.sent = 0

    def clone(self) -> UploadTimeout:
        """Return itself: urllib3 reads the limit of its clone after the body."""
        self._start_connect = None
        return self

    def counting(self, body: bytes | Iterator[bytes]) -> bytes | Iterator[bytes]:
        """Return a body of which all that is read counts as ``sent``."""
        if isinstance(body, bytes):
            self.sent += len(body)
            return body
        return self._counted(body)

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.sent += len(chunk)
            yield chunk

    @property
    def read_timeout(self) -> float:
        """Seconds to wait for the response to what was ``sent``."""
        return self._least + self.sent / self._rate


class _GatewayConnection(HTTPConnection):
    """A connection with a time limit of its own, ``send_timeout``, for each block sent.

    urllib3 sends under the time limit for connecting. A gateway that reads a large
    directory receives nothing for seconds.
    """

    send_timeout: float

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        super().endheaders(*args, **kwargs)
        if self.sock is not None:
            self.sock.settimeout(self.send_timeout)


class _GatewayTLSConnection(_GatewayConnection, HTTPSConnection):
    """The same over TLS. Raises NoTLS where the server speaks http.

    A gateway that speaks http takes the TLS handshake for the start of a request, and
    waits for the rest. So if it takes longer than ``SCHEME_PROBE_SECONDS``, http is
    tried.
    """

    _is_probing = False

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        if self._is_probing:
            made.settimeout(
                min(SCHEME_PROBE_SECONDS, made.gettimeout() or SCHEME_PROBE_SECONDS)
            )
        return made

    def connect(self) -> None:
        self._is_probing = True
        try:
            super().connect()
            return
        except TimeoutError:
            self.close()
        finally:
            self._is_probing = False
        if speaks_http(self.host, self.port or 443, SCHEME_PROBE_SECONDS):
            raise NoTLS("http is spoken there")
        super().connect()


class _RetryUntil(Retry):
    """Retries until a deadline, but never after a time-out or an error of TLS.

    It closes a response before the retry, and does not read its body, which could be
    endless.
    """

    deadline: float | None = None

    def until(self, deadline: float) -> _RetryUntil:
        """Return a copy with a deadline, in seconds of the monotonic clock."""
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
    ) -> _RetryUntil:
        late = self.deadline is not None and time.monotonic() >= self.deadline
        # A refusal is one of urllib3's timeouts too.
        refused = isinstance(error, NewConnectionError)
        if late or (isinstance(error, _NOT_RETRIED) and not refused):
            raise MaxRetryError(_pool, url or "", error)
        left = super().increment(method, url, response, error, _pool, *rest, **more)
        left.deadline = self.deadline
        if response is not None:
            response.close()
        return left


class _DeadlinePool:
    """A pool whose retries all together take no longer than one request may."""

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
        if isinstance(retries, _RetryUntil) and not isinstance(timeout, UploadTimeout):
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
        # A mixin: the pools that it is mixed into have the method.
        return super().urlopen(  # type: ignore[misc]
            method, url, body, headers, retries, *rest, timeout=timeout, **more
        )


# The signature of urlopen is narrower than the pools'.
class _Pool(_DeadlinePool, HTTPConnectionPool):  # type: ignore[misc]
    pass


# As above.
class _SecurePool(_DeadlinePool, HTTPSConnectionPool):  # type: ignore[misc]
    pass


class Adapter(HTTPAdapter):
    """Sends requests within the time limits, and retries GET and HEAD.

    ``retries`` is how often, ``send_timeout`` seconds for each block that is sent,
    ``rate`` the bytes per second below which a response is too slow. Safe methods
    only: RFC 9110, sections 9.2.1 and 9.2.2.
    """

    def __init__(self, retries: int, send_timeout: float, rate: float) -> None:
        self._send_timeout = send_timeout
        self._rate = rate
        again = _RetryUntil(
            total=retries,
            backoff_factor=0.1,
            allowed_methods=("GET", "HEAD"),
            status_forcelist=(_TOO_MANY_REQUESTS, *TRANSIENT_STATUSES),
            raise_on_status=False,
            redirect=False,
            # Retry-After (RFC 9110, 10.2.3) may say a year.
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
                {"ConnectionCls": type("Connection", (_GatewayConnection,), limits)},
            ),
            "https": type(
                "Pool",
                (_SecurePool,),
                {"ConnectionCls": type("Connection", (_GatewayTLSConnection,), limits)},
            ),
        }


class GatewayConnections:
    """The connections to the server at ``base_url``; every request has ``headers``.

    This is no session of requests, which takes longer for a request than all the rest
    here, and has proxies, .netrc, cookies and redirects, by which a cap could leak.
    ``adapter`` makes the connections.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], adapter: HTTPAdapter
    ) -> None:
        # A password in the address becomes a header.
        prepared = requests.Request("GET", f"{base_url}/", headers=headers).prepare()
        self._base = str(prepared.url).rstrip("/")
        self._headers = prepared.headers
        self._adapter = adapter

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None,
        timeout: urllib3.Timeout | tuple[float, float],
    ) -> requests.Response:
        """Send a request, and return its response, whose body is still to be read.

        ``target`` is a path and a query, quoted. Raises what requests and urllib3 do.
        """
        # That it takes chunks, and urllib3's Timeout, the stubs of requests do not say.
        content: Any = body
        limits: Any = timeout
        request = requests.PreparedRequest()
        request.method, request.url = method, f"{self._base}{target}"
        request.headers = self._headers.copy()
        request.headers.update(headers)
        request.body = content
        if isinstance(body, bytes):
            request.headers["Content-Length"] = str(len(body))
        return self._adapter.send(request, stream=True, timeout=limits, proxies={})

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()
