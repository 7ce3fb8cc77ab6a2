"""A proxy before a real gateway, which does on demand what a network does by chance.

with Proxy(grid.base_url) as proxy:
    proxy.rule(lambda seen: seen.method == "PUT", LoseResponse())
    gateway = Gateway(proxy.url)
    ...
    assert [seen.method for seen in proxy.seen] == ["PUT", "PUT"]
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tahoestorage.tahoe import marker, presence, serverlist

BLOCK = 1 << 16
# Bytes that a kernel may hold for the proxy, lest it count them too late.
_KERNEL_BUFFER = 1 << 16
_OF_THE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclass(frozen=True)
class CutBody:
    """Passes on the head and `after` bytes of the body, then hangs up."""

    after: int


@dataclass(frozen=True)
class LoseResponse:
    """Lets the gateway do it and respond, then hangs up without a byte."""


@dataclass(frozen=True)
class Refuse:
    """Hangs up; the gateway hears nothing."""


@dataclass(frozen=True)
class Stall:
    """Pauses for `seconds` after that many bytes of the body; None: before the head."""

    seconds: float
    after: int | None = None


@dataclass(frozen=True)
class StallRequest:
    """Takes `after` bytes of the request's body, none for `seconds`, then the rest."""

    seconds: float
    after: int = 0


@dataclass(frozen=True)
class Hold:
    """Lets the gateway do it and respond, and passes that on once `event` is set."""

    event: threading.Event


@dataclass(frozen=True)
class HoldRequest:
    """Lets the gateway hear of it once `event` is set."""

    event: threading.Event


@dataclass(frozen=True)
class ChangeBody:
    """Passes on the body as `change` makes it."""

    change: Callable[[bytes], bytes]


@dataclass(frozen=True)
class SendResponse:
    """Responds by itself; the gateway hears nothing.

    A body of chunks is sent as such. Its length is told rightly, unless the headers
    tell another one; the connection ends after such a response.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""


@dataclass(frozen=True)
class Misreport:
    """Lets the gateway do it, and responds with another status, as if it had not."""

    status: int


Action = (
    CutBody
    | LoseResponse
    | Refuse
    | Stall
    | StallRequest
    | Hold
    | HoldRequest
    | ChangeBody
    | SendResponse
    | Misreport
)


@dataclass
class Seen:
    """A request, in the order of arrival; the counts grow as the bytes come.

    `sent` are bytes of the request's body, `received` those of the response's body that
    the gateway has sent, `status` is that of its response.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    sent: int = 0
    received: int = 0
    status: int | None = None

    @property
    def path(self) -> str:
        """The target without the query, not quoted any more."""
        return urllib.parse.unquote(self.target.partition("?")[0])

    @property
    def is_guard(self) -> bool:
        """Whether it asks which servers are there, or what is known of them."""
        is_marker = self.path.endswith(f"/{marker.NAME}")
        return self.method == "GET" and (self.target == "/?t=json" or is_marker)


@dataclass
class Rule:
    """`reached` is set when the action has begun: a Hold has the gateway's response."""

    matches: Callable[[Seen], bool]
    action: Action
    left: int | None
    guards: bool | None = False
    reached: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Passes requests on to the gateway at `base_url`, but for those with a rule.

    With `tls` it speaks https.
    """

    def __init__(self, base_url: str, tls: ssl.SSLContext | None = None) -> None:
        target = urllib.parse.urlsplit(base_url)
        assert target.hostname is not None
        self.gateway = target.hostname, target.port or 80
        self.tls = tls
        self.seen: list[Seen] = []
        # Those that guard changes, which depend on the clock.
        self.guards: list[Seen] = []
        self.connections = 0
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []
        self._rules: list[Rule] = []
        self._busy = 0
        self._changed = threading.Condition()
        self._server = _Server(self)
        # The port may have been another proxy's, of which this process knows things.
        serverlist._lists.pop(self.url, None)
        presence._all.pop(self.url, None)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """The base_url of the proxy."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def rule(
        self,
        matches: Callable[[Seen], bool],
        action: Action,
        times: int | None = 1,
        *,
        guards: bool | None = False,
    ) -> Rule:
        """Do `action` with the next `times` (None: all) requests that match.

        Of those that guard changes, or else of all others; None: of all. Rules are
        tried in the order of their making.
        """
        rule = Rule(matches, action, times, guards)
        with self._changed:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget the rules, and what was seen."""
        with self._changed:
            self._rules.clear()
            self.seen.clear()
            self.guards.clear()

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until no request is under way any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._busy, timeout)

    @contextlib.contextmanager
    def noting(self, seen: Seen) -> Iterator[Rule | None]:
        """Note a request while it lasts, and find its rule."""
        with self._changed:
            (self.guards if seen.is_guard else self.seen).append(seen)
            self._busy += 1
            rules = (r for r in self._rules if r.guards in (None, seen.is_guard))
            rule = next((r for r in rules if r.left != 0 and r.matches(seen)), None)
            if rule is not None and rule.left is not None:
                rule.left -= 1
        try:
            yield rule
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def wait(self, event: threading.Event) -> None:
        """Wait for the event, or the end of the proxy."""
        while not (event.wait(0.02) or self.stopping.is_set()):
            pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        if error is None and self.errors:
            raise self.errors[0]


class _Server(ThreadingHTTPServer):
    # Its threads are waited for, so that none outlives the test.
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
        super().server_bind()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.proxy.tls is not None:
            connection = self.proxy.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self.proxy.connections += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        with contextlib.suppress(OSError):
            # Closing alone would do nothing while a forked child has a copy.
            request.shutdown(socket.SHUT_RDWR)
        request.close()

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.proxy.errors.append(error)


class _Cut(Exception):
    """One side hung up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers)
        with self.server.proxy.noting(seen) as rule:
            try:
                self._serve(seen, rule)
            except (_Cut, OSError, http.client.HTTPException):
                self.close_connection = True

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _serve(self, seen: Seen, rule: Rule | None) -> None:
        proxy = self.server.proxy
        action = None if rule is None else rule.action
        body = self._body(seen, action)
        if rule is not None and not isinstance(action, Hold | LoseResponse):
            rule.reached.set()
        if isinstance(action, Refuse):
            raise _Cut
        if isinstance(action, HoldRequest):
            proxy.wait(action.event)
        if isinstance(action, SendResponse):
            for _ in body:
                pass
            self._made_up(seen, action)
            return
        connection = http.client.HTTPConnection(*proxy.gateway, timeout=120)
        try:
            response = self._forward(connection, seen, body)
            chunks = _counted(response, seen)
            if isinstance(action, Misreport):
                for _ in chunks:
                    pass
                self._made_up(seen, SendResponse(action.status, {}, b"bad"))
                return
            if isinstance(action, Hold | LoseResponse):
                chunks = iter([b"".join(chunks)])
                assert rule is not None
                rule.reached.set()
            if isinstance(action, LoseResponse):
                raise _Cut
            if isinstance(action, Hold):
                proxy.wait(action.event)
            elif isinstance(action, Stall):
                if action.after is None:
                    proxy.stopping.wait(action.seconds)
                else:
                    pause = action.seconds
                    chunks = _with_pause(
                        chunks, action.after, lambda: proxy.stopping.wait(pause)
                    )
            elif isinstance(action, CutBody):
                chunks = _cut(chunks, action.after)
            length = response.getheader("Content-Length")
            if isinstance(action, ChangeBody):
                changed = action.change(b"".join(chunks))
                chunks, length = iter([changed]), str(len(changed))
            self._response(response.status, response.getheaders(), chunks, length)
        finally:
            connection.close()

    def _body(self, seen: Seen, action: Action | None) -> Iterator[bytes]:
        if "chunked" in seen.headers.get("transfer-encoding", ""):
            body = self._chunked()
        else:
            body = self._sized(int(seen.headers.get("content-length", 0)))
        if isinstance(action, StallRequest):
            stall = action
            stopping = self.server.proxy.stopping
            body = _with_pause(body, stall.after, lambda: stopping.wait(stall.seconds))
        for block in body:
            seen.sent += len(block)
            yield block

    def _sized(self, length: int) -> Iterator[bytes]:
        while length:
            block = self.rfile.read1(min(length, BLOCK))
            if not block:
                raise _Cut
            length -= len(block)
            yield block

    def _chunked(self) -> Iterator[bytes]:
        while line := self.rfile.readline():
            length = int(line, 16)
            if not length:
                self.rfile.readline()
                return
            yield from self._sized(length)
            self.rfile.readline()
        raise _Cut

    def _forward(
        self, connection: http.client.HTTPConnection, seen: Seen, body: Iterator[bytes]
    ) -> http.client.HTTPResponse:
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        connection.putrequest(
            seen.method, seen.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "keep-alive"):
                connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders()
        if "chunked" in seen.headers.get("transfer-encoding", ""):
            for block in body:
                connection.send(b"%x\r\n%b\r\n" % (len(block), block))
            connection.send(b"0\r\n\r\n")
        else:
            for block in body:
                connection.send(block)
        response = connection.getresponse()
        seen.status = response.status
        return response

    def _made_up(self, seen: Seen, response: SendResponse) -> None:
        seen.status = response.status
        length: str | None = None
        if isinstance(response.body, bytes):
            length = str(len(response.body))
            chunks = iter([response.body])
        else:
            chunks = iter(response.body)
        for name, value in response.headers.items():
            if name.lower() == "content-length":
                length = value
                self.close_connection = True

        def counted() -> Iterator[bytes]:
            for chunk in chunks:
                seen.received += len(chunk)
                yield chunk

        self._response(response.status, response.headers.items(), counted(), length)

    def _response(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        chunks: Iterator[bytes],
        length: str | None,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", length)
        else:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        for chunk in chunks:
            if length is not None:
                self.wfile.write(chunk)
            elif chunk:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if length is None:
            self.wfile.write(b"0\r\n\r\n")


def _counted(response: http.client.HTTPResponse, seen: Seen) -> Iterator[bytes]:
    wanted = response.getheader("Content-Length")
    while block := response.read1(BLOCK):
        seen.received += len(block)
        yield block
    if wanted is not None and seen.method != "HEAD" and seen.received < int(wanted):
        raise _Cut


def _with_pause(
    chunks: Iterator[bytes], after: int, pause: Callable[[], object]
) -> Iterator[bytes]:
    """Yield the chunks, with a pause once `after` bytes have passed."""
    waiting = True
    for chunk in chunks:
        if waiting and after <= len(chunk):
            waiting = False
            if chunk[:after]:
                yield chunk[:after]
            pause()
            chunk = chunk[after:]
            if not chunk:
                continue
        after -= len(chunk)
        yield chunk


def _cut(chunks: Iterator[bytes], after: int) -> Iterator[bytes]:
    for chunk in chunks:
        if after <= len(chunk):
            if after:
                yield chunk[:after]
            break
        after -= len(chunk)
        yield chunk
    raise _Cut
