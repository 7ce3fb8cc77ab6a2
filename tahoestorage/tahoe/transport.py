"""Sends the requests to one gateway: connections, time limits, retries, logging."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import requests

from tahoestorage import forks, metering
from tahoestorage.exceptions import GatewayUnreachable, StoreError
from tahoestorage.redaction import redact_loggers
from tahoestorage.schemes import speaks_tls
from tahoestorage.tahoe import presence
from tahoestorage.tahoe.connections import (
    SCHEME_PROBE_SECONDS,
    TRANSIENT_STATUSES,
    Adapter,
    GatewayConnections,
    UploadTimeout,
)
from tahoestorage.tahoe.errors import (
    LIBRARY_ERRORS,
    error_from_exception,
    https_expected,
    is_hang_up,
    is_timeout,
)
from tahoestorage.tahoe.presence import Presence

logger = logging.getLogger("tahoestorage.gateway")
# These log the URLs of requests, and our URLs are caps.
redact_loggers("urllib3.connectionpool", "urllib3.util.retry", "urllib3.connection")

_HEADERS = {
    # With anything else accepted, errors come as HTML pages.
    "Accept": "text/plain",
    # Else a body could come compressed (RFC 9110, 12.5.3).
    "Accept-Encoding": "identity",
    "User-Agent": "django-tahoestorage",
}


class _TimedOut(Exception):
    """The request timed out; ``error`` is what callers get."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self.error = error


class Transport:
    """Sends requests to the gateway at ``base_url``; safe in threads and forks.

    A request waits ``connect_timeout`` seconds for a connection, ``read_timeout`` for
    the head of the response, and as long again for its body, which must come at
    ``min_rate`` bytes per second or faster.

    GET and HEAD are retried, ``retries`` times, within the same time, and never after a
    time-out; nothing else is. After a time-out, also in a body, the gateway is asked
    for its status. If that times out too, or no connection was taken in time, all
    threads of this process get GatewayUnreachable at once for
    ``presence.AWAY_SECONDS``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        min_rate: float,
        retries: int,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = (connect_timeout, read_timeout)
        self.min_rate = min_rate
        self.retries = retries
        self._lock = threading.Lock()
        self._connections: GatewayConnections | None = None
        self._has_responded = False
        self._presence = Presence.of(self.base_url)
        forks.register(self)

    def _connected(self) -> GatewayConnections:
        connections = self._connections
        if connections is None:
            with self._lock:
                connections = self._connections
                if connections is None:
                    adapter = Adapter(self.retries, self.timeout[1], self.min_rate)
                    connections = GatewayConnections(self.base_url, _HEADERS, adapter)
                    self._connections = connections
        return connections

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def after_fork(self) -> None:
        """Use new connections: the old ones are the parent process's."""
        self._lock = threading.Lock()
        self._connections = None

    def send(
        self,
        method: str,
        target: str,
        *,
        shown: str,
        label: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        timeout: UploadTimeout | None = None,
    ) -> requests.Response:
        """Send one request; return the response, whose body is to be read, and closed.

        ``target`` is path and query (RFC 9112, 3.2.1), a secret; ``shown`` is that for
        logs, without caps; ``label`` names the file in errors. ``timeout`` replaces the
        usual limits. Raises GatewayUnreachable, GatewayTimeout or UnexpectedResponse;
        no status is an error here.
        """
        if not self._presence.may_ask(self._responds):
            raise GatewayUnreachable(
                f"{label}: the gateway at {self.base_url} stopped responding, and is "
                f"tried again every {presence.AWAY_SECONDS:g} s; if it does not come "
                "back, restart it"
            )
        try:
            return self._send(method, target, shown, label, headers, body, timeout)
        except _TimedOut as timed_out:
            error = timed_out.error
        if isinstance(error, GatewayUnreachable):
            # It took no connection: a second one would only take as long.
            self._presence.timed_out(lambda: False)
        else:
            self.timed_out()
        raise error

    def timed_out(self) -> None:
        """Find out whether the gateway is away: a response or a body timed out."""
        self._presence.timed_out(self._responds)

    def _responds(self) -> bool:
        """Whether the gateway tells its status, for which it needs no server."""
        seconds = presence.PROBE_SECONDS
        timeout = (min(seconds, self.timeout[0]), seconds)
        status = "/?t=json"
        try:
            with self._send("GET", status, status, "", None, None, timeout) as response:
                return response.status_code not in TRANSIENT_STATUSES
        except (StoreError, _TimedOut):
            return False

    def _speaks_tls(self) -> bool:
        """Whether the server speaks TLS although ``base_url`` says http."""
        url = urlsplit(self.base_url)
        if url.scheme != "http" or url.hostname is None:
            return False
        return speaks_tls(url.hostname, url.port or 80, SCHEME_PROBE_SECONDS)

    def _send(
        self,
        method: str,
        target: str,
        shown: str,
        label: str,
        headers: Mapping[str, str] | None,
        body: bytes | Iterator[bytes] | None,
        timeout: UploadTimeout | tuple[float, float] | None,
    ) -> requests.Response:
        started = time.perf_counter()
        status: object = "failed"
        failure: StoreError
        try:
            response = self._connected().send(
                method, target, headers or {}, body, timeout or self.timeout
            )
            status = response.status_code
            self._has_responded = True
            return response
        except LIBRARY_ERRORS as error:
            failure = error_from_exception(error, label, self.base_url)
            timed_out = is_timeout(error)
            if not self._has_responded and is_hang_up(error) and self._speaks_tls():
                failure = https_expected(label, self.base_url)
        finally:
            seconds = time.perf_counter() - started
            if metering.is_used:
                verb = metering.verb_of(method, shown)
                metering.meter.requested(verb, str(status), seconds)
            if logger.isEnabledFor(logging.DEBUG):
                milliseconds = seconds * 1000
                logger.debug("%s %s %s %.1f ms", method, shown, status, milliseconds)
        # Outside of the handler: what was caught has URLs in it, and they are caps.
        if timed_out:
            raise _TimedOut(failure)
        raise failure
