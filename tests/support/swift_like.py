"""A stand-in for OpenStack Swift's s3api, as that was measured (2.38), before a moto.

It looks whether there is an object before it takes a request's body, and not again. So
it refuses one after another, and of several at once it lets some through, at times just
one. It refuses conditional copies also where the name is free.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_REFUSAL = b"<Error><Code>PreconditionFailed</Code></Error>"
_OF_THE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


class SwiftLike:
    """Passes on to the moto at ``base_url`` what Swift would do.

    With ``buffered`` something before it takes bodies whole, and no two requests ever
    meet there: nobody can see then that the conditions do not hold. Unless it
    ``names_itself``, its name was taken out of the responses.
    """

    def __init__(
        self, base_url: str, *, names_itself: bool = True, buffered: bool = False
    ) -> None:
        target = urllib.parse.urlsplit(base_url)
        assert target.hostname is not None
        self.target = target.hostname, target.port or 80
        self.names_itself = names_itself
        self.buffered = buffered
        self.lock = threading.Lock()
        self._server = _SwiftServer(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _SwiftServer(ThreadingHTTPServer):
    # Their connections stay open for as long as the clients live.
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, swift: SwiftLike) -> None:
        self.swift = swift
        super().__init__(("127.0.0.1", 0), _SwiftHandler)


class _SwiftHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _SwiftServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_expect_100(self) -> bool:
        # Said once it has looked.
        return True

    def do_GET(self) -> None:
        swift = self.server.swift
        body = self._body() if swift.buffered else None
        with swift.lock if swift.buffered else contextlib.nullcontext():
            if self._is_refused():
                if body is None and "Expect" not in self.headers:
                    self._body()
                self._respond(412, [], _REFUSAL)
                return
            body = self._body() if body is None else body
            self._respond(*self._passed_on(self.command, self.path, body))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _is_refused(self) -> bool:
        if "If-None-Match" not in self.headers:
            return False
        if "x-amz-copy-source" in self.headers:
            return True
        return self._passed_on("HEAD", self.path.partition("?")[0], b"")[0] == 200

    def _body(self) -> bytes:
        if "Expect" in self.headers:
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _passed_on(
        self, method: str, target: str, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.server.swift.target, timeout=60)
        with contextlib.closing(connection):
            headers = {
                name: value
                for name, value in self.headers.items()
                if name not in ("If-None-Match", "Expect", "Content-Length")
            }
            connection.request(method, target, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    def _respond(
        self, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        if self.server.swift.names_itself:
            for name in ("X-Trans-Id", "X-Openstack-Request-Id"):
                self.send_header(name, f"tx{secrets.token_hex(11)}")
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
