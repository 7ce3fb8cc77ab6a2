"""Requests to one gateway: connections, time limits, repeats, logging and errors."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Retry

from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    UnexpectedAnswer,
)
from tahoestorage.tahoe.redaction import redact_loggers

logger = logging.getLogger("tahoestorage.gateway")
# These log the URLs of requests, and our URLs are caps.
redact_loggers("urllib3.connectionpool", "urllib3.util.retry", "urllib3.connection")

CONNECTIONS = 16
PASSING_FAULTS = (502, 503, 504)
_HEADERS = {
    # Without it errors come as pages, and a body could come packed.
    "Accept": "text/plain, */*;q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": "django-tahoestorage",
}
_all: weakref.WeakSet[Transport] = weakref.WeakSet()


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


class _Adapter(HTTPAdapter):
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


class Transport:
    """Sends requests to the gateway at ``base_url``; safe in threads and forks.

    Only requests that change nothing are repeated by themselves.
    """

    def __init__(
        self, base_url: str, *, connect_timeout: float, read_timeout: float, retries: int
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = (connect_timeout, read_timeout)
        self.retries = retries
        self._lock = threading.Lock()
        self._session: requests.Session | None = None
        _all.add(self)

    def _connected(self) -> requests.Session:
        session = self._session
        if session is None:
            with self._lock:
                session = self._session
                if session is None:
                    session = requests.Session()
                    # No proxy, no .netrc: a cap must not take a way round.
                    session.trust_env = False
                    session.headers.update(_HEADERS)
                    retry = Retry(
                        total=self.retries,
                        backoff_factor=0.1,
                        allowed_methods=("GET", "HEAD"),
                        status_forcelist=PASSING_FAULTS,
                        raise_on_status=False,
                        redirect=False,
                    )
                    adapter = _Adapter(retry, self.timeout[1])
                    session.mount("http://", adapter)
                    session.mount("https://", adapter)
                    self._session = session
        return session

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self._lock = threading.Lock()
        self._session = None

    def send(
        self,
        method: str,
        target: str,
        *,
        shown: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        timeout: UploadTimeout | None = None,
    ) -> requests.Response:
        """Return the answer's head; its body is to be read, and closed.

        ``shown`` is what logs may have of ``target``, ``what`` names the file in
        errors. Raises GatewayUnreachable, GatewayTimeout or UnexpectedAnswer.
        """
        started = time.perf_counter()
        status: object = "failed"
        fault: GatewayError
        try:
            response = self._connected().request(
                method,
                self.base_url + target,
                headers=headers,
                data=body,
                timeout=timeout or self.timeout,  # type: ignore[arg-type]
                allow_redirects=False,
                stream=True,
            )
            status = response.status_code
            return response
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            fault = mapped(error, what, self.base_url)
        finally:
            if logger.isEnabledFor(logging.DEBUG):
                milliseconds = (time.perf_counter() - started) * 1000
                logger.debug("%s %s %s %.1f ms", method, shown, status, milliseconds)
        # Outside of the handler: what was caught has URLs in it, and they are caps.
        raise fault


def mapped(error: Exception, what: str, where: str) -> GatewayError:
    """Return our error for one of requests' or urllib3's, without their text."""
    reasons = [error]
    while len(reasons) < 8:
        last = reasons[-1]
        inner = getattr(last, "reason", None) or last.__cause__ or last.__context__
        inner = inner or next((a for a in last.args if isinstance(a, Exception)), None)
        if not isinstance(inner, Exception) or inner in reasons:
            break
        reasons.append(inner)

    def is_a(*kinds: type[Exception]) -> bool:
        return any(isinstance(reason, kinds) for reason in reasons)

    if is_a(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return GatewayUnreachable(
            f"{what}: the gateway at {where} can't be reached in time; is it running?"
        )
    if is_a(requests.exceptions.SSLError):
        return GatewayUnreachable(
            f"{what}: the gateway at {where} shows a certificate that is not trusted"
        )
    if is_a(requests.exceptions.ReadTimeout, ReadTimeoutError, TimeoutError):
        return GatewayTimeout(
            f"{what}: the gateway at {where} did not answer in time; what was asked "
            "may be done all the same"
        )
    if is_a(
        requests.exceptions.ChunkedEncodingError, urllib3.exceptions.IncompleteRead
    ):
        return DamagedDownload(f"{what}: the gateway ended its answer too early")
    if is_a(requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError):
        return GatewayUnreachable(
            f"{what}: no answer from the gateway at {where}; is it running there?"
        )
    return UnexpectedAnswer(
        f"{what}: the gateway at {where} can't be spoken to ({type(error).__name__})"
    )


def _after_fork() -> None:
    for transport in list(_all):
        transport.after_fork()


os.register_at_fork(after_in_child=_after_fork)
