"""Requests to one gateway: connections, time limits, repeats, logging and errors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import requests

from tahoestorage import forks
from tahoestorage.exceptions import GatewayUnreachable, StoreError
from tahoestorage.redaction import redact_loggers
from tahoestorage.tahoe import presence
from tahoestorage.tahoe.connections import (
    LOOK_SECONDS,
    PASSING_ERRORS,
    Adapter,
    Session,
    UploadTimeout,
)
from tahoestorage.tahoe.errors import (
    ERRORS,
    is_hang_up,
    is_timeout,
    mapped,
    speaks_https,
)
from tahoestorage.tahoe.presence import Presence
from tahoestorage.tahoe.schemes import speaks_tls

logger = logging.getLogger("tahoestorage.gateway")
# These log the URLs of requests, and our URLs are caps.
redact_loggers("urllib3.connectionpool", "urllib3.util.retry", "urllib3.connection")

_HEADERS = {
    # Where anything else is accepted too, errors come as pages.
    "Accept": "text/plain",
    # A body could come packed.
    "Accept-Encoding": "identity",
    "User-Agent": "django-tahoestorage",
}


class _TimedOut(Exception):
    """The gateway did not answer in time, which ``error`` says to callers."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self.error = error


class Transport:
    """Sends requests to the gateway at ``base_url``; safe in threads and forks.

    Each waits for ``connect_timeout`` seconds for a connection, for ``read_timeout``
    for the head of the response, and for as long again for its body, which comes at
    ``min_rate`` bytes per second or faster. Only requests that change nothing are
    repeated by themselves, within the same time, and never after a time-out. After one,
    be it in a body, the gateway is asked for its status; where it does not answer that
    either, all threads of this process are told at once that it is away, for some
    seconds.
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
        self._session: Session | None = None
        self._heard = False
        self._presence = Presence.of(self.base_url)
        forks.register(self)

    def _connected(self) -> Session:
        session = self._session
        if session is None:
            with self._lock:
                session = self._session
                if session is None:
                    session = Session()
                    session.headers.update(_HEADERS)
                    adapter = Adapter(self.retries, self.timeout[1], self.min_rate)
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
        label: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        timeout: UploadTimeout | None = None,
    ) -> requests.Response:
        """Return the response's head; its body is to be read, and closed.

        ``shown`` is what logs may have of ``target``, ``label`` names the file in
        errors. Raises GatewayUnreachable, GatewayTimeout or UnexpectedResponse.
        """
        if not self._presence.may_ask(self._responds):
            raise GatewayUnreachable(
                f"{label}: the gateway at {self.base_url} stopped answering, and is "
                f"tried again every {presence.AWAY_SECONDS:g} s; if it does not come "
                "back, restart it"
            )
        try:
            return self._send(method, target, shown, label, headers, body, timeout)
        except _TimedOut as timed_out:
            error = timed_out.error
        self.timed_out()
        raise error

    def timed_out(self) -> None:
        """Find out whether the gateway is away: a response or a body came late."""
        self._presence.timed_out(self._responds)

    def _responds(self) -> bool:
        """Whether the gateway says anything, of what it need not look for."""
        seconds = presence.TRIAL_SECONDS
        timeout = (min(seconds, self.timeout[0]), seconds)
        status = "/?t=json"
        try:
            with self._send("GET", status, status, "", None, None, timeout) as response:
                return response.status_code not in PASSING_ERRORS
        except (StoreError, _TimedOut):
            return False

    def _speaks_tls(self) -> bool:
        """Whether it is TLS that is spoken, where http was."""
        url = urlsplit(self.base_url)
        if url.scheme != "http" or url.hostname is None:
            return False
        return speaks_tls(url.hostname, url.port or 80, LOOK_SECONDS)

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
            self._heard = True
            return response
        except ERRORS as error:
            failure = mapped(error, label, self.base_url)
            timed_out = is_timeout(error)
            if not self._heard and is_hang_up(error) and self._speaks_tls():
                failure = speaks_https(label, self.base_url)
        finally:
            if logger.isEnabledFor(logging.DEBUG):
                milliseconds = (time.perf_counter() - started) * 1000
                logger.debug("%s %s %s %.1f ms", method, shown, status, milliseconds)
        # Outside of the handler: what was caught has URLs in it, and they are caps.
        if timed_out:
            raise _TimedOut(failure)
        raise failure
